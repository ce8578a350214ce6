//! `policy.toml`: what turns scores into decisions, and how a run treats time.

use std::ops::{Range, RangeInclusive};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::blend::ModelPolicy;
use super::file::FLOORS;
use super::links::{self, LinkPolicy};
use crate::decision::Verdict;
use crate::diagnostic::{Diagnostic, Lang, Message};
use crate::document::Reader;
use crate::event::Schema;
use crate::expr::{Zone, format_duration};
use crate::features::catalogue::Columns;

const DAY_MS: i64 = 86_400_000;

/// The policy; every part that a file leaves out has the default given here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The language of the reasons in the decision record: the policy's and not the machine's, for
    /// the record is the same bytes everywhere.
    pub language: Lang,
    /// From which score on a transaction is reviewed, held, blocked.
    pub bands: Bands,
    /// What a model's score counts for, where a run has a model.
    pub model: ModelPolicy,
    /// How far behind the newest event of its partition an event may come and be in time.
    pub allowed_lateness: i64,
    /// How long an id is remembered.
    pub dedup_window: i64,
    /// How far ahead of its append time an event may be.
    pub max_ahead: i64,
    /// Clusters and chains are as of whole multiples of this.
    pub graph_tick: i64,
    /// The zone of hours, weekdays, calendar days and calendars.
    pub time_zone: String,
    /// After how long without a record a partition at its end is idle.
    pub idle_ms: i64,
    /// Which built-in features a run computes and stores.
    pub columns: Columns,
    /// How devices, and what else may, link accounts.
    pub devices: Devices,
    /// An account with more payees, or payers, than this in 24 hours is on no cycle of money.
    pub counterparties_max: i64,
    /// Verdicts on accounts.
    pub accounts: VerdictPolicy,
    /// Verdicts on groups.
    pub groups: VerdictPolicy,
    /// By what verdicts on accounts and on groups are lifted.
    pub lifts: [Option<Lift>; 2],
    /// How many days of a stream are kept, the last one included; none: all.
    pub days_kept: Option<i64>,
}

/// Scores from which on a decision is at least this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the band of that name")]
pub struct Bands {
    pub review: i64,
    pub hold: i64,
    pub block: i64,
}

/// How devices, and what else may, link accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// Whether clusters are computed.
    pub clusters: bool,
    /// How long an event on a device links.
    pub window: i64,
    /// What links accounts, by name.
    pub links: Vec<LinkPolicy>,
}

/// When decisions add up to a verdict on an account or a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerdictPolicy {
    /// Some functions are taken away for a time.
    pub restrict: Option<Threshold>,
    /// Everything is, for a time or for good.
    pub ban: Option<Threshold>,
    /// Whether verdicts are floors of later decisions: restricted is held, banned is blocked.
    pub enforce: bool,
}

/// The list by which verdicts are lifted: whoever is on it has none that came, and no decision that
/// counts, before the moment from which on he is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lift {
    /// The name of the list.
    pub list: String,
    /// Where the policy names it.
    pub span: Range<usize>,
}

/// So many decisions of at least this kind within this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Number of decisions.
    pub decisions: i64,
    /// What counts.
    pub at_least: Verdict,
    /// Within which time, in ms.
    pub within: i64,
    /// How long the verdict lasts, in ms; none: until it is lifted by hand.
    pub lasts: Option<i64>,
    /// Where verdicts are enforced: what later decisions are at least while it holds.
    pub floor: Verdict,
}

/// Whose transactions are held three times in a week.
const RESTRICT: Threshold = Threshold {
    decisions: 3,
    at_least: Verdict::Hold,
    within: 7 * DAY_MS,
    lasts: Some(7 * DAY_MS),
    floor: Verdict::Hold,
};
/// Whose transactions are blocked three times in a month.
const BAN: Threshold = Threshold {
    decisions: 3,
    at_least: Verdict::Block,
    within: 30 * DAY_MS,
    lasts: Some(180 * DAY_MS),
    floor: Verdict::Block,
};
/// The times of so many decisions are kept for each subject, so the number has a limit.
const DECISIONS_MAX: i64 = 1_000;

/// People pay fewer in a day, and shops more.
const COUNTERPARTIES_MAX: i64 = 64;
/// Those of a century.
const DAYS_KEPT_MAX: i64 = 36_500;
/// With two an account can be on a cycle and pay somebody else. What an edge costs grows with the
/// limit, and what cutting an account costs with its square.
const COUNTERPARTIES: RangeInclusive<i64> = 2..=1_000;

impl Default for Policy {
    fn default() -> Self {
        let verdicts = VerdictPolicy { restrict: Some(RESTRICT), ban: Some(BAN), enforce: false };
        Policy {
            language: Lang::En,
            bands: Bands { review: 300, hold: 600, block: 850 },
            model: ModelPolicy::default(),
            allowed_lateness: 0,
            dedup_window: 7 * DAY_MS,
            max_ahead: 5 * 60_000,
            graph_tick: 10_000,
            time_zone: "Asia/Shanghai".to_owned(),
            idle_ms: 5_000,
            columns: Columns::All,
            devices: Devices {
                clusters: true,
                window: 30 * DAY_MS,
                links: vec![LinkPolicy::device(links::HUB_LIMIT)],
            },
            counterparties_max: COUNTERPARTIES_MAX,
            accounts: verdicts,
            groups: verdicts,
            lifts: [None, None],
            days_kept: None,
        }
    }
}

impl Policy {
    /// Where it stands in a rules directory.
    pub const FILE: &str = "policy.toml";

    /// Reads a policy file for events of a schema: what it says, and every mistake in it.
    pub fn read(file: &Path, text: &str, schema: &Schema) -> (Policy, Vec<Diagnostic>) {
        let mut reader = Reader::new(file, text);
        let root = reader.parse();
        let root = root.get_ref();
        reader.known_keys(
            root,
            &[
                "language",
                "bands",
                "model",
                "allowed_lateness",
                "dedup_window",
                "max_ahead",
                "graph_tick",
                "time_zone",
                "idle_ms",
                "features",
                "devices",
                "clusters",
                "funds",
                "verdicts",
                "days",
            ],
        );
        let mut policy = Policy::default();
        policy.read_bands(&mut reader, root);
        policy.model.read(&mut reader, root);
        policy.read_times(&mut reader, root);
        if let Some(features) = reader.table(root, "features") {
            reader.known_keys(features, &["columns"]);
            if let Some(text) = reader.string(features, "columns") {
                let choices = [("all", Columns::All), ("used", Columns::Used)];
                set(&mut policy.columns, reader.choice("columns", &text, &choices));
            }
        }
        policy.devices.read(&mut reader, root, schema);
        if let Some(funds) = reader.table(root, "funds") {
            reader.known_keys(funds, &["counterparties_max"]);
            let most = reader.integer(funds, "counterparties_max", COUNTERPARTIES);
            set(&mut policy.counterparties_max, most);
        }
        if let Some(days) = reader.table(root, "days") {
            reader.known_keys(days, &["keep"]);
            policy.days_kept = reader.integer(days, "keep", 1..=DAYS_KEPT_MAX);
        }
        if let Some(verdicts) = reader.table(root, "verdicts") {
            reader.known_keys(verdicts, &["account", "group"]);
            if let Some(account) = reader.table(verdicts, "account") {
                policy.accounts.read(&mut reader, account);
                policy.lifts[0] = Lift::read(&mut reader, account);
            }
            if let Some(group) = reader.table(verdicts, "group") {
                policy.groups.read(&mut reader, group);
                policy.lifts[1] = Lift::read(&mut reader, group);
            }
        }
        (policy, reader.finish())
    }

    /// What the rules hash is taken over: every setting that can change a decision, in a fixed order.
    /// Which columns are computed, and how long days are kept, change none.
    pub fn canonical(&self) -> String {
        let Policy {
            language,
            bands,
            model,
            allowed_lateness,
            dedup_window,
            max_ahead,
            graph_tick,
            time_zone,
            idle_ms,
            columns: _,
            devices,
            counterparties_max,
            accounts,
            groups,
            lifts,
            days_kept: _,
        } = self;
        // What says nothing of lifting has the hash that it had before there was any.
        let lifts = match lifts.each_ref().map(|lift| lift.as_ref().map(|lift| &lift.list)) {
            [None, None] => String::new(),
            lifts => format!(", lifts: {lifts:?}"),
        };
        format!(
            "Policy {{ language: {language:?}, bands: {bands:?}, model: {model:?}, \
             allowed_lateness: {allowed_lateness}, dedup_window: {dedup_window}, \
             max_ahead: {max_ahead}, graph_tick: {graph_tick}, time_zone: {time_zone:?}, \
             idle_ms: {idle_ms}, columns: All, devices: {devices:?}, \
             counterparties_max: {counterparties_max}, accounts: {accounts:?}, \
             groups: {groups:?}{lifts} }}"
        )
    }

    /// The settings that hold for a run as a whole, with their values: its order of events and
    /// what it keeps depend on them.
    pub fn fixed_settings(&self) -> [(&'static str, Message); 11] {
        let Devices { clusters, window, ref links } = self.devices;
        // What a file says in a word or a number is shown as it stands there.
        let plain = |value: String| Message::new(value.clone(), value);
        let lasting = |ms| plain(format_duration(ms));
        [
            ("time_zone", plain(self.time_zone.clone())),
            ("graph_tick", lasting(self.graph_tick)),
            ("dedup_window", lasting(self.dedup_window)),
            ("allowed_lateness", lasting(self.allowed_lateness)),
            ("max_ahead", lasting(self.max_ahead)),
            ("clusters.links", links::told(links)),
            ("clusters.enabled", plain(clusters.to_string())),
            ("clusters.window", lasting(window)),
            ("funds.counterparties_max", plain(self.counterparties_max.to_string())),
            ("verdicts.account", self.accounts.told()),
            ("verdicts.group", self.groups.told()),
        ]
    }

    fn read_bands(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let Some(bands) = reader.table(root, "bands") else { return };
        reader.known_keys(bands, &["review", "hold", "block"]);
        const SCORES: RangeInclusive<i64> = 1..=1001;
        set(&mut self.bands.review, reader.integer(bands, "review", SCORES));
        set(&mut self.bands.hold, reader.integer(bands, "hold", SCORES));
        set(&mut self.bands.block, reader.integer(bands, "block", SCORES));
        let Bands { review, hold, block } = self.bands;
        if review > hold || hold > block {
            let span = root.get("bands").map_or(0..0, |node| node.span());
            let message = Message::new(
                format!("the bands do not rise: review {review}, hold {hold}, block {block}"),
                format!("档位应递增:review {review},hold {hold},block {block}"),
            );
            reader.fail("bands-not-rising", span, message, None);
        }
    }

    fn read_times(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>) {
        let day = DAY_MS;
        if let Some(text) = reader.string(root, "language") {
            let languages = [("en", Lang::En), ("zh", Lang::Zh)];
            set(&mut self.language, reader.choice("language", &text, &languages));
        }
        let lateness = reader.duration(root, "allowed_lateness", 0..=day);
        set(&mut self.allowed_lateness, lateness);
        set(&mut self.dedup_window, reader.duration(root, "dedup_window", 0..=90 * day));
        set(&mut self.max_ahead, reader.duration(root, "max_ahead", 0..=day));
        set(&mut self.graph_tick, reader.duration(root, "graph_tick", 1..=day));
        set(&mut self.idle_ms, reader.integer(root, "idle_ms", 0..=day));
        if let Some(zone) = reader.string(root, "time_zone") {
            if Zone::new(zone.get_ref()).is_some() {
                self.time_zone = zone.into_inner();
            } else {
                let name = zone.get_ref();
                let message = Message::new(
                    format!("`{name}` is not a time zone"),
                    format!("`{name}` 不是时区"),
                );
                let hint = Zone::near(name).map(|near| {
                    Message::new(format!("did you mean `{near}`?"), format!("是否想写 `{near}`?"))
                });
                reader.fail("unknown-zone", zone.span(), message, hint);
            }
        }
    }
}

impl Devices {
    fn read(&mut self, reader: &mut Reader<'_>, root: &DeTable<'_>, schema: &Schema) {
        let mut hub_limit = None;
        if let Some(devices) = reader.table(root, "devices") {
            reader.known_keys(devices, &["hub_limit"]);
            hub_limit = reader.integer(devices, "hub_limit", links::HUB_LIMITS);
        }
        let device = LinkPolicy::device(hub_limit.unwrap_or(links::HUB_LIMIT));
        self.links = vec![device];
        if let Some(clusters) = reader.table(root, "clusters") {
            reader.known_keys(clusters, &["enabled", "window", "links"]);
            set(&mut self.clusters, reader.boolean(clusters, "enabled"));
            set(&mut self.window, reader.duration(clusters, "window", 1..=90 * DAY_MS));
            links::read(&mut self.links, reader, clusters, schema, hub_limit.is_some());
        }
    }
}

impl VerdictPolicy {
    /// Takes what the file says; `false` in place of a step means never.
    fn read<'t>(&mut self, reader: &mut Reader<'t>, table: &DeTable<'t>) {
        reader.known_keys(table, &["restrict", "ban", "enforce", "lift"]);
        set(&mut self.enforce, reader.boolean(table, "enforce"));
        let steps = [("restrict", &mut self.restrict, RESTRICT), ("ban", &mut self.ban, BAN)];
        for (key, step, default) in steps {
            let Some(node) = table.get(key) else { continue };
            match node.get_ref() {
                DeValue::Boolean(false) => *step = None,
                DeValue::Table(inner) => *step = Some(Threshold::read(reader, inner, default)),
                _ => {
                    let wanted = ("a table, or false for never", "表,或表示“从不”的 false");
                    reader.wrong_type::<()>(key, node, wanted);
                }
            }
        }
        self.check_floors(reader, table);
    }

    /// Of the two verdicts the ban is the one that stands where both do: with the lower floor it
    /// would make its subject freer.
    fn check_floors(&self, reader: &mut Reader<'_>, table: &DeTable<'_>) {
        let (true, Some(restrict), Some(ban)) = (self.enforce, self.restrict, self.ban) else {
            return;
        };
        if ban.floor >= restrict.floor {
            return;
        }
        let (lower, higher) = (ban.floor, restrict.floor);
        let message = Message::new(
            format!(
                "a ban with the floor {} frees whom a floor of {} restricts",
                lower.name(),
                higher.name()
            ),
            format!(
                "封禁的下限“{}”低于限制的下限“{}”:被封禁者反而更自由",
                lower.name_zh(),
                higher.name_zh()
            ),
        );
        let hint = Message::new(
            format!("give the ban a floor of {} or more", higher.name()),
            format!("请让封禁的下限不低于“{}”", higher.name_zh()),
        );
        let place = table.get("ban").or_else(|| table.get("restrict"));
        let span = place.map_or(0..0, |node| node.span());
        reader.fail("floors-not-rising", span, message, Some(hint));
    }
}

impl VerdictPolicy {
    fn told(&self) -> Message {
        let step = |step: Option<Threshold>| {
            step.map_or_else(|| Message::new("never", "从不"), |step| step.told())
        };
        let (restrict, ban, enforce) = (step(self.restrict), step(self.ban), self.enforce);
        let enforced = if enforce { "强制执行" } else { "不强制执行" };
        Message::new(
            format!("restrict {}, ban {}, enforce {enforce}", restrict.en, ban.en),
            format!("限制:{};封禁:{};{enforced}", restrict.zh, ban.zh),
        )
    }
}

impl Lift {
    fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Lift> {
        let name = reader.string(table, "lift")?;
        Some(Lift { span: name.span(), list: name.into_inner() })
    }
}

impl Threshold {
    fn told(&self) -> Message {
        let Threshold { decisions, at_least, within, lasts, floor } = self;
        let (within, lasts) = (format_duration(*within), lasts.map(format_duration));
        let lasts = match lasts {
            Some(lasts) => Message::new(format!("for {lasts}"), format!("为期 {lasts}")),
            None => Message::new("for good", "直至人工解除"),
        };
        Message::new(
            format!(
                "at {decisions} of {} in {within} {} (floor {})",
                at_least.name(),
                lasts.en,
                floor.name()
            ),
            format!(
                "{within} 内有 {decisions} 次决策为{}或更严,{},期间决策至少为{}",
                at_least.name_zh(),
                lasts.zh,
                floor.name_zh()
            ),
        )
    }

    /// What a table says; of what it leaves out, the default, but for `lasts`: a verdict that is
    /// described and not said to end stands until it is lifted by hand.
    fn read(reader: &mut Reader<'_>, table: &DeTable<'_>, default: Threshold) -> Threshold {
        reader.known_keys(table, &["decisions", "at_least", "within", "lasts", "floor"]);
        let mut step = Threshold { lasts: None, ..default };
        set(&mut step.decisions, reader.integer(table, "decisions", 1..=DECISIONS_MAX));
        for (key, place) in [("at_least", &mut step.at_least), ("floor", &mut step.floor)] {
            if let Some(text) = reader.string(table, key) {
                set(place, reader.choice(key, &text, &FLOORS));
            }
        }
        set(&mut step.within, reader.duration(table, "within", 1..=90 * DAY_MS));
        step.lasts = reader.duration(table, "lasts", 1..=3650 * DAY_MS);
        step
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Policy, Vec<Diagnostic>) {
        Policy::read(Path::new("policy.toml"), text, &Schema::default())
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let (policy, wrong) = read("[bands]\nblock = 900\n[verdicts.group]\nban = false\n");
        assert_eq!(wrong, []);
        assert_eq!(policy.bands, Bands { review: 300, hold: 600, block: 900 });
        assert_eq!((policy.groups.ban, policy.groups.restrict), (None, Some(RESTRICT)));
        assert_eq!(read("").0, Policy::default());
        let (policy, _) = read("[verdicts.account]\nban = { decisions = 2 }\n");
        assert_eq!(policy.accounts.ban.map(|ban| (ban.decisions, ban.lasts)), Some((2, None)));
    }

    /// Where both verdicts stand the ban does: its floor is the restriction's at least, or there is
    /// none to compare, or none counts.
    #[test]
    fn floors_that_rise_are_fine() {
        for text in [
            "enforce = true\nban = { floor = 'hold' }",
            "enforce = true\nrestrict = { floor = 'block' }",
            "enforce = true\nrestrict = false\nban = { floor = 'review' }",
            "ban = { floor = 'review' }",
        ] {
            assert_eq!(read(&format!("[verdicts.account]\n{text}\n")).1, [], "{text}");
        }
    }

    #[test]
    fn links_are_the_devices_and_what_else_is_said() {
        let names = |text: &str| -> Vec<(String, String, i64)> {
            let (policy, wrong) = read(text);
            assert_eq!(wrong, [], "{text}");
            let link =
                |link: &LinkPolicy| (link.name.clone(), link.fields.join("+"), link.hub_limit);
            policy.devices.links.iter().map(link).collect()
        };
        let device = |limit| ("device".to_owned(), "device_id".to_owned(), limit);
        assert_eq!(names(""), [device(50)]);
        assert_eq!(names("[devices]\nhub_limit = 9"), [device(9)]);
        assert_eq!(names("[clusters.links.device]\nhub_limit = 9"), [device(9)]);
        let ip = ("ip".to_owned(), "ip+region".to_owned(), 50);
        let text = "[clusters.links.ip]\nfields = ['ip', 'region']\n";
        assert_eq!(names(text), [device(50), ip.clone()]);
        let text = format!("{text}[clusters.links.device]\nenabled = false\n");
        assert_eq!(names(&text), [ip]);
        assert_eq!(names("[clusters.links.ip]\nfields = ['ip']\nenabled = false"), [device(50)]);
    }

    /// The shipped file says of itself that it holds the defaults.
    #[test]
    fn the_documented_defaults_are_true() {
        let shipped = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/policy.toml"));
        assert_eq!(read(shipped), (Policy::default(), Vec::new()));
    }

    #[test]
    fn each_mistake_is_named() {
        let rows = [
            ("time_zone = 'Asia/Shanhai'", "unknown-zone"),
            ("language = 'fr'", "unknown-value"),
            ("lateness = '1s'", "unknown-key"),
            ("allowed_lateness = 3", "wrong-type"),
            ("graph_tick = '0s'", "bad-duration"),
            ("idle_ms = -1", "out-of-bounds"),
            ("[bands]\nreview = 700", "bands-not-rising"),
            ("[model]\nblend = 'mix'", "unknown-value"),
            ("[model]\nweigth = 50", "unknown-key"),
            ("[model]\nweight = 1001", "out-of-bounds"),
            ("[model]\nat_least = 1.5", "wrong-type"),
            ("[bands]\nblock = 1002", "out-of-bounds"),
            ("[verdicts.account]\nban = true", "wrong-type"),
            ("[verdicts.account]\nban = { floor = 'allow' }", "unknown-value"),
            ("[verdicts.account]\nenforce = true\nban = { floor = 'review' }", "floors-not-rising"),
            (
                "[verdicts.group]\nenforce = true\nrestrict = { floor = 'block' }\nban = { floor = 'hold' }",
                "floors-not-rising",
            ),
            ("[verdicts.acount]", "unknown-key"),
            ("[devices]\nhub_limit = 1", "out-of-bounds"),
            ("[funds]\ncounterparties_max = 1", "out-of-bounds"),
            ("[days]\nkeep = 0", "out-of-bounds"),
            ("[days]\ninterval = '1m'", "unknown-key"),
            ("[clusters.links.ip]\nhub_limit = 20", "missing-key"),
            ("[clusters.links.ip]\nfields = ['ipp']", "unknown-field"),
            ("[clusters.links.ip]\nfields = ['account_id']", "links-to-itself"),
            ("[clusters.links.ip]\nfields = ['ip', 'ip']", "repeated-field"),
            ("[clusters.links.ip]\nfields = []", "empty"),
            ("[clusters.links.ip]\nfields = ['ip']\nhub_limt = 9", "unknown-key"),
            ("[clusters.links.ip]\nfields = ['ip']\nhub_limit = 1", "out-of-bounds"),
            ("[clusters.links.device]\nfields = 3", "wrong-type"),
            ("[devices]\nhub_limit = 9\n[clusters.links.device]\nhub_limit = 8", "said-twice"),
        ];
        for (text, code) in rows {
            let codes: Vec<&str> = read(text).1.iter().map(|one| one.code).collect();
            assert_eq!(codes, [code], "{text}");
        }
    }
}
