//! The events that made a rule hit, and the test that they are.

use super::Page;
use crate::diagnostic::Lang;
use crate::explain::{Earlier, Found, Reach, Witness};
use crate::report::{printable, short};

/// Events that are shown, and up to which there is a test; `--json` has all.
const EVENTS_SHOWN: usize = 50;
/// Characters of a text.
const TEXT_CHARS: usize = 40;

impl Page {
    pub(super) fn witness(&mut self, witness: &Witness) {
        let rule = format!("  {}", printable(&witness.rule));
        self.heading(("witness of", "见证事件"), &rule);
        let (count, all) = (witness.events.len(), witness.candidates);
        let reach = match witness.reach {
            Reach::Own => self.say("that share a key with it", "与其有共同键值"),
            Reach::TwoHops => self.say("within two hops of it", "与其相隔两步以内"),
            Reach::All => self.say("before it", "在其之前"),
        };
        let latest = self
            .say(if witness.cut { "latest " } else { "" }, if witness.cut { "最近" } else { "" });
        let said = match (witness.found, count, self.screen.lang) {
            (Found::None, _, Lang::En) => {
                format!(
                    "none was found: it does not hit after the {latest}{all} events {reach} alone"
                )
            }
            (Found::None, _, Lang::Zh) => {
                format!("未找到：仅有{latest}{reach}的 {all} 个事件时，该规则不命中")
            }
            (_, 0, Lang::En) => {
                "no earlier event is needed: it hits on the transaction alone".to_owned()
            }
            (_, 0, Lang::Zh) => "无需此前的事件：仅凭该交易即命中".to_owned(),
            (Found::Minimal, _, Lang::En) => format!(
                "it hits after these {count} events alone, and without any one of them it does not \
                 (of the {latest}{all} {reach})"
            ),
            (Found::Minimal, _, Lang::Zh) => format!(
                "仅有以下 {count} 个事件即命中，缺少其中任何一个则不命中（取自{latest}{reach}的 {all} 个）"
            ),
            (Found::Sufficient, _, Lang::En) => format!(
                "it hits after these {count} events alone; fewer may do, for the search was ended after \
                 {} trials",
                witness.trials
            ),
            (Found::Sufficient, _, Lang::Zh) => format!(
                "仅有以下 {count} 个事件即命中；试到 {} 次为止，可能还能更少",
                witness.trials
            ),
        };
        self.line(said);
        for one in witness.events.iter().take(EVENTS_SHOWN) {
            let line = self.earlier(one);
            self.line(line);
        }
        if count > EVENTS_SHOWN {
            let more = count - EVENTS_SHOWN;
            let said = match self.screen.lang {
                Lang::En => format!("and {more} more: --json has them, and the test"),
                Lang::Zh => format!("另有 {more} 个：见 --json，测试亦然"),
            };
            self.line(said);
        } else if let (Some(test), false) = (&witness.test, witness.found == Found::None) {
            let say = self.say("as a test for the rule's file:", "可放入规则文件的测试：");
            self.line(say);
            test.lines().for_each(|line| self.line(format!("    {line}")));
        } else if witness.found != Found::None {
            let (en, zh) =
                ("a value has a quote, which no test can hold", "有值含引号，无法写成测试");
            let say = self.say(en, zh);
            self.line(say);
        }
    }

    fn earlier(&self, one: &Earlier) -> String {
        let amount = one.amount_fen.map(|fen| format!(" {}", self.yuan(fen))).unwrap_or_default();
        let named = |en, zh, id: &str| match id.is_empty() {
            true => String::new(),
            false => format!("  {} {}", self.say(en, zh), printable(id)),
        };
        let other = match one.counterparty.is_empty() {
            true => String::new(),
            false => format!(" ({})", printable(&one.counterparty)),
        };
        format!(
            "  {}  {}{amount}  {}{other}{}{}  {}  {}",
            one.time,
            self.screen.kind(one.kind),
            printable(&one.account),
            named("group", "群", &one.group),
            named("device", "设备", &one.device),
            printable(&one.event_id),
            short(&one.text, TEXT_CHARS),
        )
    }
}
