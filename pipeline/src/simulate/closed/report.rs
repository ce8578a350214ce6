//! The report for people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::tally::{Flow, Money, Report};
use crate::diagnostic::Lang;

/// What came of a closed loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What was stopped and what honest people suffered.
    pub report: Report,
    /// The digest of the decisions that settled the money.
    pub digest: blake3::Hash,
    /// When it was interrupted, ms of the world's time; none where the world lived to its end.
    pub interrupted_at: Option<i64>,
}

impl Ended {
    /// As in `loop.json`: the report, and the digest.
    pub fn json(&self) -> serde_json::Value {
        // A structure of numbers and names always has a form in JSON.
        let mut json = serde_json::to_value(&self.report).unwrap_or_default();
        json["decisions_digest"] = self.digest.to_hex().as_str().into();
        json["partial"] = self.interrupted_at.is_some().into();
        if let Some(ms) = self.interrupted_at {
            json["interrupted_at"] = ms.into();
        }
        json
    }
}

/// The report as text.
pub fn terminal(ended: &Ended, lang: Lang) -> String {
    let Ended { report, digest, interrupted_at } = ended;
    let say = |en: &'static str, zh: &'static str| if lang == Lang::Zh { zh } else { en };
    let mut text = String::new();
    let mut line = |line: String| text.push_str(&format!("{line}\n"));
    line(say("Hongxian closed loop", "红线 闭环").to_owned());
    line(format!(" {}  {digest}", say("digest", "摘要")));
    if let Some(ms) = interrupted_at {
        let until = jiff::Timestamp::from_millisecond(*ms).unwrap_or_default();
        line(match lang {
            Lang::En => {
                format!(" partial  interrupted when it was {until}: all below is until then")
            }
            Lang::Zh => format!(" 不完整  中断于 {until}:以下均为截至此时的情况"),
        });
    }
    line(String::new());
    line(typologies(report, lang));
    line(String::new());
    let (groups, accounts) = (report.groups_opened, report.accounts_bought);
    line(match lang {
        Lang::En => format!("rings opened {groups} groups and bought {accounts} accounts anew"),
        Lang::Zh => format!("团伙另开 {groups} 个群,另购 {accounts} 个账户"),
    });
    text.push_str(&people(report, lang));
    text
}

fn typologies(report: &Report, lang: Lang) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    table.set_header(match lang {
        Lang::En => [
            "typology",
            "rings",
            "moved on",
            "gave up",
            "yuan attempted",
            "stopped",
            "still moved",
            "after moving on",
            "stopped",
            "still moved",
        ],
        Lang::Zh => [
            "类型",
            "团伙",
            "转移",
            "放弃",
            "企图(元)",
            "拦下",
            "仍转出",
            "转移后企图",
            "拦下",
            "仍转出",
        ],
    });
    for (typology, money) in &report.typologies {
        let mut row = vec![(*typology).to_owned()];
        let counts = [money.rings, money.rings_moved, money.rings_given_up];
        row.extend(counts.map(|count| count.to_string()));
        for Flow { attempted, stopped, moved } in [money.all, money.after_moving] {
            row.extend([attempted, stopped, moved].map(yuan));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn people(report: &Report, lang: Lang) -> String {
    let (honest, desk) = (&report.honest, &report.desk);
    let hours = match honest.hours_waited_median {
        Some(hours) => format!("{hours:.1} h"),
        None => "-".to_owned(),
    };
    let mut text = String::new();
    let sum = |money: Money| format!("{} ({})", money.transactions, yuan(money));
    let (attempted, held, blocked) = (sum(honest.attempted), sum(honest.held), sum(honest.blocked));
    let (returned, gave_up, forgone) =
        (sum(honest.returned), sum(honest.gave_up), sum(honest.forgone));
    let (people, quit) = (honest.people, honest.people_gave_up);
    let of_rings = sum(honest.of_ring_accounts);
    let (retried, through) = (honest.retried, honest.retried_through);
    let (looked, mistakes, ran_out) = (desk.looked_at, desk.mistakes, desk.ran_out);
    // Writing to memory does not fail.
    let _ = match lang {
        Lang::En => write!(
            text,
            "honest people: transactions (yuan)\n \
             attempted {attempted}; held {held}, of which returned {returned}; blocked {blocked}; \
             {people} people\n \
             of the held and blocked {of_rings} of accounts that also work for rings\n \
             waited {hours} (median); tried again {retried}, let through {through}\n \
             gave up {gave_up}, {quit} people; not even tried since {forgone}\n\
             review desk: {looked} looked at, {mistakes} by mistake; {ran_out} holds ran out\n",
        ),
        Lang::Zh => write!(
            text,
            "正常用户:笔数(元)\n \
             企图 {attempted};暂缓 {held},其中退回 {returned};拦截 {blocked};涉及 {people} 人\n \
             暂缓与拦截中 {of_rings} 出自兼为团伙所用的账户\n \
             等待中位数 {hours};重试 {retried} 笔,通过 {through} 笔\n \
             放弃 {gave_up},{quit} 人;此后未再尝试 {forgone}\n\
             复核台:处理 {looked} 笔,误判 {mistakes} 笔;到期 {ran_out} 笔\n",
        ),
    };
    text
}

fn yuan(money: Money) -> String {
    format!("{}.{:02}", money.fen / 100, money.fen % 100)
}
