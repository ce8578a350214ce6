//! A sweep on the terminal.

use super::{Figures, Outcome, Setting, Sweep};
use crate::diagnostic::Lang;
use crate::report::{Screen, grouped, printable};

/// What the columns are.
const LEGEND: &str = "\
fraud: share of the hits; +fraud, +honest: transactions that would have no alert without the rule;
prec., recall, F1: of all alerts; stopped: yuan of fraud held or blocked; honest: honest accounts alerted
";
const LEGEND_ZH: &str = "\
欺诈率：命中中欺诈的比例；独有、误报：没有该规则便无预警的欺诈交易与正常交易；
精确率、召回率、F1：全部预警；拦下：暂缓或拦截的欺诈金额（元）；误伤：被预警的正常账户
";

/// The sweep as text: a line a setting.
pub fn terminal(sweep: &Sweep, screen: Screen) -> String {
    let mut out = head(sweep, screen);
    // Events tell more than accounts, where there are labels of both.
    let has = |of: fn(&Outcome) -> bool| sweep.settings.iter().any(|one| of(&one.outcome));
    let (figures, heading): (fn(&Outcome) -> Option<&Figures>, _) =
        if has(|one| one.events.is_some()) {
            (|one| one.events.as_ref(), screen.say("By event labels", "按事件标签"))
        } else if has(|one| one.accounts.is_some()) {
            (|one| one.accounts.as_ref(), screen.say("By account labels", "按账户标签"))
        } else {
            (|_| None, screen.say("Without labels", "无标签"))
        };
    let labelled = has(|one| one.events.is_some() || one.accounts.is_some());
    out.push_str(&format!("\n{}\n", screen.bold(heading)));
    let mut header: Vec<&str> = match sweep.settings.first() {
        Some(first) => first.params.iter().map(|param| param.name.as_str()).collect(),
        None => Vec::new(),
    };
    let words = header.len();
    header.push(screen.say("hits", "命中"));
    if labelled {
        header.extend([
            screen.say("fraud", "欺诈率"),
            screen.say("+fraud", "独有"),
            screen.say("+honest", "误报"),
        ]);
    }
    header.push(screen.say("alerts", "预警"));
    if labelled {
        header.extend([
            screen.say("prec.", "精确率"),
            screen.say("recall", "召回率"),
            "F1",
            screen.say("stopped", "拦下"),
            screen.say("honest", "误伤"),
        ]);
    } else {
        header.push(screen.say("yuan stopped", "拦下金额(元)"));
    }
    let rows = sweep.settings.iter().map(|one| row(one, figures(&one.outcome), screen));
    out.push_str(&screen.table(&header, words, rows.collect()));
    if labelled {
        out.push_str(screen.say(LEGEND, LEGEND_ZH));
    }
    out.push_str(&foot(sweep, figures(&sweep.run), screen));
    out
}

fn head(sweep: &Sweep, screen: Screen) -> String {
    let (settings, transactions) = (sweep.settings.len(), grouped(sweep.transactions));
    let rule = printable(&sweep.rule);
    let mut lines = vec![match screen.lang {
        Lang::En => format!("{rule} at {settings} settings, on {transactions} transactions"),
        Lang::Zh => format!("{rule} 的 {settings} 种取值，共 {transactions} 笔交易"),
    }];
    if !sweep.live {
        lines.push(match screen.lang {
            Lang::En => "the rule is not live: this is what it would do if it were".to_owned(),
            Lang::Zh => "该规则未上线：以下为上线后的效果".to_owned(),
        });
    }
    if let Some(field) = &sweep.also_by {
        lines.push(match screen.lang {
            Lang::En => format!("values by {} stay as they are", printable(field)),
            Lang::Zh => format!("按 {} 另设的值保持不变", printable(field)),
        });
    }
    if !sweep.because.is_empty() {
        lines.push(match screen.lang {
            Lang::En => format!(
                "everything was decided again for each setting: {}",
                printable(&sweep.because)
            ),
            Lang::Zh => format!("每种取值均已全部重新决策：{}", printable(&sweep.because_zh)),
        });
    }
    lines.join("\n") + "\n"
}

fn row(one: &Setting, figures: Option<&Figures>, screen: Screen) -> Vec<String> {
    let mut row: Vec<String> = one
        .params
        .iter()
        .map(|param| {
            printable(if screen.lang == Lang::Zh { &param.value_zh } else { &param.value })
        })
        .collect();
    if let Some(last) = row.last_mut().filter(|_| one.stands) {
        last.push_str(screen.say(" (now)", "（现值）"));
    }
    let (hits, alerts) = (grouped(one.hits.after), grouped(one.alerts.after));
    match figures {
        None => row.extend([hits, alerts, whole_yuan(one.outcome.stopped.fen)]),
        Some(figures) => {
            row.extend([hits, share(figures.rule_precision)]);
            row.extend([figures.rule_marginal, figures.rule_marginal_honest].map(grouped));
            row.push(alerts);
            row.extend([figures.precision, figures.recall, figures.f1].map(share));
            row.push(whole_yuan(figures.fraud_stopped.fen));
            row.push(grouped(figures.honest_accounts_alerted));
        }
    }
    row
}

fn share(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.3}"))
}

/// Money without its fen, which say nothing beside sums.
fn whole_yuan(fen: i64) -> String {
    grouped(fen.unsigned_abs() / 100)
}

/// The run itself, from which the rules may have moved on.
fn foot(sweep: &Sweep, figures: Option<&Figures>, screen: Screen) -> String {
    let alerts = sweep.settings.first().map_or(0, |one| one.alerts.before);
    let mut line = match screen.lang {
        Lang::En => format!("\nin the run: {} alerts", grouped(alerts)),
        Lang::Zh => format!("\n原运行：{} 条预警", grouped(alerts)),
    };
    if let Some(figures) = figures {
        let [precision, recall, f1] = [figures.precision, figures.recall, figures.f1].map(share);
        line.push_str(&match screen.lang {
            Lang::En => format!(", precision {precision}, recall {recall}, F1 {f1}"),
            Lang::Zh => format!("，精确率 {precision}，召回率 {recall}，F1 {f1}"),
        });
    }
    line + "\n"
}
