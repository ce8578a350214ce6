//! `[clusters.links]` of `policy.toml`: the identifiers that link accounts.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Message;
use crate::document::{Reader, suggest};
use crate::event::{ACCOUNT_ID, FIELDS, Schema};

/// From how many accounts on something is a hub, where nothing is said.
pub(super) const HUB_LIMIT: i64 = 50;
/// What may be said: with fewer than two nothing links.
pub(super) const HUB_LIMITS: RangeInclusive<i64> = 2..=1_000_000;
/// The link that is there unless it is taken away.
const DEVICE: &str = "device";
/// Every link is one more request of each event.
const LINKS_MAX: usize = 8;

/// An identifier that links the accounts which share a value of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPolicy {
    /// Its name.
    pub name: String,
    /// The fields that are the identifier together.
    pub fields: Vec<String>,
    /// Values with more accounts than this link nobody.
    pub hub_limit: i64,
}

impl LinkPolicy {
    /// The link over shared devices.
    pub(super) fn device(hub_limit: i64) -> LinkPolicy {
        LinkPolicy { name: DEVICE.to_owned(), fields: vec!["device_id".to_owned()], hub_limit }
    }
}

/// What links accounts, in words.
pub(super) fn told(links: &[LinkPolicy]) -> Message {
    let told = |join: &str, link: &LinkPolicy| {
        let LinkPolicy { name, fields, hub_limit } = link;
        format!("{name} ({}, {join} {hub_limit})", fields.join(" + "))
    };
    let all = |join| links.iter().map(|link| told(join, link)).collect::<Vec<_>>();
    if links.is_empty() {
        return Message::new("nothing", "无");
    }
    Message::new(all("up to").join(", "), all("至多").join("、"))
}

/// Reads the table of links; what it says of devices is said of the first of `links`, whose hub
/// limit `[devices]` may have said already.
pub(super) fn read(
    links: &mut Vec<LinkPolicy>,
    reader: &mut Reader<'_>,
    clusters: &DeTable<'_>,
    schema: &Schema,
    said: bool,
) {
    let Some(table) = reader.table(clusters, "links") else { return };
    for (key, node) in table {
        let name: &str = key.get_ref();
        let DeValue::Table(of_link) = node.get_ref() else {
            reader.wrong_type::<()>(name, node, ("a table", "表"));
            continue;
        };
        let device = (name == DEVICE).then(|| links.remove(0));
        let read = read_link(name, device, (reader, of_link, key.span()), schema, said);
        match read {
            Some(link) if name == DEVICE => links.insert(0, link),
            Some(link) => links.push(link),
            None => {}
        }
    }
    if links.len() > LINKS_MAX {
        let message = Message::new(
            format!("{} links, more than {LINKS_MAX}", links.len()),
            format!("{} 种关联,超过 {LINKS_MAX} 种", links.len()),
        );
        let span = clusters.get("links").map_or(0..0, Spanned::span);
        reader.fail("too-many-links", span, message, None);
    }
}

/// One link; none if it is taken away or has a mistake.
fn read_link(
    name: &str,
    held: Option<LinkPolicy>,
    (reader, table, span): (&mut Reader<'_>, &DeTable<'_>, std::ops::Range<usize>),
    schema: &Schema,
    said: bool,
) -> Option<LinkPolicy> {
    reader.known_keys(table, &["enabled", "fields", "hub_limit"]);
    let enabled = reader.boolean(table, "enabled") != Some(false);
    if held.is_none() {
        reader.required_keys(table, span, &["fields"]);
    }
    let fields = match table.contains_key("fields") {
        true => read_fields(reader, table, schema),
        false => held.as_ref().map(|held| held.fields.clone()),
    };
    let hub_limit = reader.integer(table, "hub_limit", HUB_LIMITS);
    if let Some(node) = table.get("hub_limit").filter(|_| said && held.is_some()) {
        let message = Message::new(
            "`[devices] hub_limit` says it already",
            "`[devices] hub_limit` 已经设定了它",
        );
        reader.fail("said-twice", node.span(), message, None);
    }
    let hub_limit = hub_limit.or(held.map(|held| held.hub_limit)).unwrap_or(HUB_LIMIT);
    let link = LinkPolicy { name: name.to_owned(), fields: fields?, hub_limit };
    enabled.then_some(link)
}

fn read_fields(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    schema: &Schema,
) -> Option<Vec<String>> {
    let node = table.get("fields")?;
    if matches!(node.get_ref(), DeValue::Array(items) if items.is_empty()) {
        let message = Message::new("`fields` is empty", "`fields` 为空");
        reader.fail("empty", node.span(), message, None);
        return None;
    }
    let names = reader.strings(table, "fields")?;
    let mut fields: Vec<String> = Vec::new();
    let mut good = !names.is_empty();
    for name in &names {
        let text: &str = name.get_ref();
        let (code, message, hint) = if schema.find(text).is_none() {
            let known = schema.fields().iter().map(|field| field.name.as_str());
            let message =
                Message::new(format!("`{text}` is not a field"), format!("`{text}` 不是字段"));
            ("unknown-field", message, suggest(text, known))
        } else if text == FIELDS[ACCOUNT_ID.index()].0 {
            let message = Message::new(
                "an account is linked to itself by its own id, and to nobody else",
                "账号只能通过自己的编号与自己相连",
            );
            ("links-to-itself", message, None)
        } else if fields.iter().any(|held| held == text) {
            let message =
                Message::new(format!("`{text}` stands twice"), format!("`{text}` 出现两次"));
            ("repeated-field", message, None)
        } else {
            fields.push(text.to_owned());
            continue;
        };
        reader.fail(code, name.span(), message, hint);
        good = false;
    }
    good.then_some(fields)
}
