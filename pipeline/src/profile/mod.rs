//! What an account does in a run, with whom, and what was decided on it.
//!
//! Everything is taken from the run's own events, decisions, features, verdicts and labels. What is
//! not known is said. Age and region are attributes like others and no finding.

mod features;
mod gather;
mod shown;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

pub use self::features::{Part, Trend};
pub use self::shown::terminal;

use self::features::{Known, Seen};
use self::gather::{Gatherer, nearest};
use crate::diagnostic::{Failure, Message};
use crate::event::{Kind, Schema};
use crate::expr::Zone;
use crate::features::catalogue::NameDefinition;
use crate::finished::{Decided, FinishedRun, RoleCounts, go_on, role};
use crate::judge::Subject;
use crate::rules;
use crate::source::Progress;

/// Counterparties, groups and devices that are told of, the largest first.
const LISTED_MAX: usize = 10;
/// Decisions that are told of, the latest first.
const DECISIONS_MAX: usize = 1_000;
const DAY_MS: i64 = 86_400_000;

/// One account.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Profile {
    /// Its id.
    pub account: String,
    /// The days before the end of the run that are looked at; none: all.
    pub days: Option<u32>,
    /// When it was first and last seen, by the run's clock.
    pub first_seen: String,
    /// When it was last seen.
    pub last_seen: String,
    /// Age, region and the like, as the last event tells them.
    pub attributes: BTreeMap<&'static str, String>,
    /// What it does, by kind of event.
    pub kinds: BTreeMap<String, Moved>,
    /// Money that others moved to it: transfers to it, and its shares of their packets.
    pub received: Moved,
    /// Money that went from it to others: transfers, and others' shares of its packets.
    pub paid: Moved,
    /// With whom, the most money first.
    pub counterparties: Vec<Counterparty>,
    /// How many counterparties there are.
    pub counterparties_all: usize,
    /// In which groups, the most events first.
    pub groups: Vec<GroupSeen>,
    /// How many groups there are.
    pub groups_all: usize,
    /// Its events in each hour of the day.
    pub hours: [u32; 24],
    /// Its events on each weekday, Monday first.
    pub weekdays: [u32; 7],
    /// On what devices, the most events first.
    pub devices: Vec<Device>,
    /// How many devices there are.
    pub devices_all: usize,
    /// Its own features that moved, each over the transactions in which it tells of the account:
    /// those of the payer where it pays, also where others claim of its packets, and so on.
    pub features: Vec<Trend>,
    /// Decisions on its own transactions by decision.
    pub decisions_by: BTreeMap<String, u64>,
    /// Decisions on its own transactions that are not allow.
    pub alerts: usize,
    /// The latest of these, and why.
    pub decisions: Vec<Decision>,
    /// What was decided on money that others paid to it.
    pub paid_to_it: PaidToIt,
    /// How many of its transactions in all of the run were given each role, where a feature tells.
    pub roles: RoleCounts,
    /// The role that follows from these; none where no feature tells any.
    pub role: Option<String>,
    /// Verdicts on it at the end of the run.
    pub verdicts: Vec<Verdict>,
    /// What was found true of it.
    pub finding: Option<Finding>,
    /// What is not known.
    pub unknown: Vec<Unknown>,
}

/// What was decided on others' transfers to the account. Its shares of others' packets are
/// transactions of its own.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PaidToIt {
    /// Transfers to it by decision.
    pub decisions_by: BTreeMap<String, u64>,
    /// Those that are not allow.
    pub alerts: usize,
    /// The latest of these, and why.
    pub decisions: Vec<Decision>,
}

/// How often and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// How often.
    pub count: u64,
    /// How much, in fen.
    pub fen: i64,
}

impl Moved {
    fn add(&mut self, fen: Option<i64>) {
        self.count += 1;
        self.fen += fen.unwrap_or(0);
    }
}

/// Somebody with whom it exchanges money.
#[derive(Clone, Debug, Serialize)]
pub struct Counterparty {
    /// Its id.
    pub id: String,
    /// From the account to it.
    pub paid: Moved,
    /// From it to the account.
    pub received: Moved,
}

/// A group in which it acts.
#[derive(Clone, Debug, Serialize)]
pub struct GroupSeen {
    /// Its id.
    pub id: String,
    /// The last name that a group event gives; empty where none does.
    pub name: String,
    /// The account's events in it.
    pub events: u64,
    /// Packets that it sent there.
    pub sent: Moved,
    /// Shares that it claimed there.
    pub claimed: Moved,
    /// First and last event.
    pub first_seen: String,
    /// Last event.
    pub last_seen: String,
}

/// A device on which it was.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// The account's events on it.
    pub events: u64,
    /// First event of the account on it.
    pub first_seen: String,
    /// Last event of the account on it.
    pub last_seen: String,
    /// Other accounts that were on it at any time of the run.
    pub other_accounts: usize,
}

/// A decision, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// The transaction.
    pub event_id: String,
    /// When, by the run's clock.
    pub time: String,
    /// Its kind.
    pub kind: String,
    /// In fen.
    pub amount_fen: i64,
    /// The other side, on a transfer to the account its payer; empty where there is none.
    pub counterparty: String,
    /// What was decided.
    pub decision: String,
    /// From 0 to 1000.
    pub score: i64,
    /// The rules that hit and what they say.
    pub reasons: Vec<Why>,
}

/// One reason.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    /// The rule.
    pub rule: String,
    /// What it added.
    pub score: i64,
    /// What it says.
    pub text: String,
}

/// A verdict at the end of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// `restrict` or `ban`.
    pub verdict: String,
    /// Since when.
    pub since: String,
    /// Until when; none: until it is lifted by hand.
    pub until: Option<String>,
}

/// A label.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Fraud, or honest.
    pub fraud: bool,
    /// What kind.
    pub typology: Option<String>,
    /// As what it took part.
    pub role: Option<String>,
    /// When it became known.
    pub known_at: Option<String>,
}

/// Something that the run does not tell.
#[derive(Clone, Debug, Serialize)]
pub struct Unknown {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// Looks at an account; with `days`, at its last so many days before the end of the run. Where the
/// ids of the run are pseudonyms the account may be named by its own, and the profile has the other.
///
/// # Errors
/// When the run cannot be read again, when the id is empty (exit 2), and (the answer is no) when the
/// account does not occur in the run.
pub fn look(
    run: &FinishedRun,
    account: &str,
    days: Option<u32>,
    progress: &dyn Progress,
) -> Result<Profile, Failure> {
    if account.is_empty() {
        return Err(Failure::Usage(Message::new(
            "an account id is empty: name the account to look at",
            "账户标识为空：请指明要查看的账户",
        )));
    }
    let events = run.events(progress)?;
    let end = events.end()?;
    let from = days.map_or(i64::MIN, |days| end.saturating_sub(i64::from(days) * DAY_MS));
    let own = |account: &str| {
        let mut gatherer = Gatherer::new(account, from, run.zone());
        events.each_slice(progress, &mut |slice| gatherer.own(slice))?;
        Ok::<_, Failure>(gatherer)
    };
    let mut gatherer = own(account)?;
    if !gatherer.occurs() {
        let Some(pseudonyms) = run.pseudonyms()? else {
            return Err(absent(account, &nearest(&events, account, progress)?));
        };
        gatherer = own(&pseudonyms.of(account))?;
        if !gatherer.occurs() {
            return Err(absent_by_pseudonym(account, &pseudonyms.of(account)));
        }
    }
    events.each_slice(progress, &mut |slice| gatherer.others(slice))?;
    let mut profile = gatherer.profile();
    profile.days = days;
    let seen = decisions(run, from, &mut profile)?;
    go_on(progress)?;
    let known = known(run, events.ordered().schema(), &mut profile)?;
    profile.features = features::trends(run, &seen, &known)?;
    go_on(progress)?;
    roles(run, &mut profile)?;
    verdicts(run, &mut profile)?;
    unknown(run.partial(), &mut profile);
    Ok(profile)
}

fn absent(account: &str, near: &[String]) -> Failure {
    let account = crate::report::printable(account);
    let near: Vec<String> = near.iter().map(|id| crate::report::printable(id)).collect();
    let (en, zh) = match near.is_empty() {
        true => (String::new(), String::new()),
        false => {
            let near = near.join(", ");
            (format!("; the nearest ids: {near}"), format!("；相近的账户：{near}"))
        }
    };
    Failure::No(Message::new(
        format!("no account {account} occurs in this run{en}"),
        format!("该运行中没有账户 {account}{zh}"),
    ))
}

fn absent_by_pseudonym(account: &str, pseudonym: &str) -> Failure {
    let account = crate::report::printable(account);
    Failure::No(Message::new(
        format!(
            "no account {account} occurs in this run, whose ids are pseudonyms: nor does \
             {pseudonym}, which its key makes of it"
        ),
        format!(
            "该运行中没有账户 {account}：其中的编号为假名，由其密钥得到的假名 {pseudonym} 也未出现"
        ),
    ))
}

/// What was decided on some transactions, and the latest alerts.
#[derive(Default)]
struct Judged {
    by: BTreeMap<String, u64>,
    alerts: usize,
    latest: VecDeque<Decided>,
}

impl Judged {
    fn take(&mut self, decided: Decided) {
        *self.by.entry(decided.decision.clone()).or_default() += 1;
        if decided.decision == "allow" {
            return;
        }
        self.alerts += 1;
        if self.latest.len() == DECISIONS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(decided);
    }

    fn told(latest: VecDeque<Decided>, account: &str, zone: &Zone) -> Vec<Decision> {
        latest.into_iter().rev().map(|one| decision(one, account, zone)).collect()
    }
}

/// What was decided on what it does and on transfers to it; and all transactions in which it takes
/// part.
fn decisions(run: &FinishedRun, from: i64, profile: &mut Profile) -> Result<Vec<Seen>, Failure> {
    let account = profile.account.clone();
    let (mut own, mut to_it) = (Judged::default(), Judged::default());
    let mut seen = Vec::new();
    run.decisions(&|acts, other| acts == account || other == account, &mut |decided| {
        if decided.event_time < from {
            return;
        }
        seen.push(Seen::of(&decided, &account));
        if decided.account_id == account {
            own.take(decided);
        } else if decided.kind == Kind::Transfer.name() {
            to_it.take(decided);
        }
    })?;
    let zone = run.zone();
    (profile.decisions_by, profile.alerts) = (own.by, own.alerts);
    profile.decisions = Judged::told(own.latest, &account, zone);
    profile.paid_to_it = PaidToIt {
        decisions_by: to_it.by,
        alerts: to_it.alerts,
        decisions: Judged::told(to_it.latest, &account, zone),
    };
    Ok(seen)
}

/// What the rules of the run say of its features: of whom they tell, and their units. Of those that
/// nothing says, and where the rules are other ones today, the profile says so.
fn known(
    run: &FinishedRun,
    schema: &Arc<Schema>,
    profile: &mut Profile,
) -> Result<BTreeMap<String, Known>, Failure> {
    let there = run.rules().filter(|directory| directory.is_dir());
    let loaded = match rules::load(there, schema) {
        // Rules that are broken today are as good as gone.
        Err(Failure::Input(..)) => rules::load(None, schema)?,
        loaded => loaded?,
    };
    let mut known = BTreeMap::new();
    let mut unsaid = Vec::new();
    for name in run.feature_names()? {
        match loaded.features.definition(&name) {
            Some(NameDefinition { whose, unit, .. }) => {
                known.insert(name, Known { whose, unit });
            }
            None => unsaid.push(crate::report::printable(&name)),
        }
    }
    let directory = run.rules().unwrap_or(Path::new("")).display();
    if let Some(first) = unsaid.first() {
        let count = unsaid.len();
        profile.unknown.push(Unknown {
            en: format!(
                "features of which the rules in {directory} do not say today whose they are: \
                 {count}, {first} among them"
            ),
            zh: format!("特征归属：{directory} 中的规则目前未说明的特征有 {count} 个，如 {first}"),
        });
    } else if there.is_some() && loaded.rules.hash.to_hex().as_str() != run.rules_hash() {
        profile.unknown.push(Unknown {
            en: format!(
                "whether features meant then what they do today: the rules in {directory} are \
                 not what they were"
            ),
            zh: format!("特征当时的含义是否与现在相同：{directory} 中的规则已改动"),
        });
    }
    Ok(known)
}

fn decision(decided: Decided, account: &str, zone: &Zone) -> Decision {
    let why = |reason: crate::finished::Reason| Why {
        rule: reason.rule,
        score: reason.score,
        text: reason.text,
    };
    let acts = decided.account_id == account;
    Decision {
        event_id: decided.event_id,
        time: zone.moment(decided.event_time),
        kind: decided.kind,
        amount_fen: decided.amount_fen,
        counterparty: if acts { decided.counterparty_id } else { decided.account_id },
        decision: decided.decision,
        score: decided.score,
        reasons: decided.reasons.into_iter().map(why).collect(),
    }
}

fn roles(run: &FinishedRun, profile: &mut Profile) -> Result<(), Failure> {
    let account = profile.account.as_str();
    let found = run.account_roles(&|id| id == account)?;
    if let Some(counts) = found.and_then(|mut found| found.remove(account)) {
        profile.role = Some(role(&counts).to_owned());
        profile.roles = counts;
    }
    Ok(())
}

fn verdicts(run: &FinishedRun, profile: &mut Profile) -> Result<(), Failure> {
    let account = profile.account.as_str();
    let zone = run.zone();
    let entities = run.entities()?.into_iter();
    let own = entities.filter(|one| one.subject_kind == "account" && one.subject_id == account);
    profile.verdicts = own
        .map(|one| Verdict {
            verdict: one.verdict,
            since: zone.moment(one.since),
            until: one.until.map(|until| zone.moment(until)),
        })
        .collect();
    let Some(labels) = run.labels()? else {
        profile.unknown.push(Unknown {
            en: "what was found true of it: the run had no labels".to_owned(),
            zh: "事后认定：该运行没有标签".to_owned(),
        });
        return Ok(());
    };
    let name = |at: Option<u16>, of: &[String]| at.map(|at| of[usize::from(at)].clone());
    profile.finding = labels.get(Subject::Account, account).map(|label| Finding {
        fraud: label.fraud,
        typology: name(label.typology, labels.typologies()),
        role: name(label.role, labels.roles()),
        known_at: label.known_at.map(|at| zone.moment(at)),
    });
    if profile.finding.is_none() {
        profile.unknown.push(Unknown {
            en: "what was found true of it: no label names it".to_owned(),
            zh: "事后认定：标签中没有该账户".to_owned(),
        });
    }
    Ok(())
}

/// The Chinese name of an attribute.
fn attribute_zh(name: &str) -> &str {
    match name {
        "age_band" => "年龄段",
        "region" => "地区",
        "platform" => "平台",
        "registered_at" => "注册时间",
        "verified" => "实名",
        other => other,
    }
}

/// What no event tells. Of devices and groups only the days that are looked at are known, while
/// attributes are taken from all of the run.
fn unknown(partial: bool, profile: &mut Profile) {
    let (days, days_zh) = match profile.days {
        Some(_) => ("in these days ", "该时段内"),
        None => ("", ""),
    };
    let mut say = |en: String, zh: String| profile.unknown.push(Unknown { en, zh });
    let absent: Vec<&str> = ["age_band", "region", "registered_at", "verified"]
        .into_iter()
        .filter(|name| !profile.attributes.contains_key(name))
        .collect();
    if !absent.is_empty() {
        let names = absent.join(", ");
        let names_zh = absent.iter().map(|name| attribute_zh(name)).collect::<Vec<_>>().join("、");
        say(
            format!("attributes that no event tells: {names}"),
            format!("事件未提供的属性：{names_zh}"),
        );
    }
    if profile.devices_all == 0 {
        say(
            format!("devices: {days}no event of it names one"),
            format!("设备：{days_zh}其事件均未注明设备"),
        );
    }
    if profile.groups_all == 0 {
        say(
            format!("groups: {days}it acts in none that is named"),
            format!("群：{days_zh}没有在任何已知群中活动"),
        );
    }
    if partial {
        say("what came after the run was interrupted".to_owned(), "运行中断之后的情况".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the last days only it is said that they do not tell: what came before may.
    #[test]
    fn what_some_days_do_not_tell_is_not_said_of_the_run() {
        let said = |days: Option<u32>| {
            let attributes = BTreeMap::from([("age_band", "30-39".to_owned())]);
            let mut profile = Profile { days, attributes, ..Profile::default() };
            unknown(false, &mut profile);
            profile.unknown
        };
        let all = said(None);
        let en: Vec<&str> = all.iter().map(|one| one.en.as_str()).collect();
        let expect = [
            "attributes that no event tells: region, registered_at, verified",
            "devices: no event of it names one",
            "groups: it acts in none that is named",
        ];
        assert_eq!(en, expect);
        assert!(all.iter().all(|one| !one.zh.contains("该时段内")), "{all:?}");
        let last = said(Some(7));
        let en: Vec<&str> = last.iter().map(|one| one.en.as_str()).collect();
        let expect = [
            "attributes that no event tells: region, registered_at, verified",
            "devices: in these days no event of it names one",
            "groups: in these days it acts in none that is named",
        ];
        assert_eq!(en, expect);
        assert!(last[1..].iter().all(|one| one.zh.contains("该时段内")), "{last:?}");
    }
}
