//! A feature over events that never have what it files, looks up or counts would be nothing for ever.

use toml::de::DeTable;

use super::{Parser, Windowed};
use crate::diagnostic::Message;
use crate::event::KindSet;
use crate::features::plan::Source;

impl<'p> Parser<'p> {
    /// Notes fields of which none of the events that are asked for them has a value.
    pub(super) fn check_carried(&mut self, table: &DeTable<'p>, windowed: &Windowed) -> Option<()> {
        let filed = windowed.filed(self.schema);
        if filed.is_empty() {
            let (field, kinds) = self.not_carried(&windowed.key, windowed.over);
            let over = windowed.over.listed();
            let message = Message::new(
                format!(
                    "{field} has a value on {kinds}, and this is over {over}: nothing is filed"
                ),
                format!("{field} 仅在 {kinds} 上有值,而 over 为 {over}:没有事件会被归入"),
            );
            let hint = Message::new(
                "count those kinds, or file by a field that the counted ones have",
                "请统计上述种类的事件,或改用被统计事件具有的字段",
            );
            self.reader.fail("never-filed", table.get("key")?.span(), message, Some(hint));
            return None;
        }
        if windowed.looked_up(self.schema).is_empty() {
            let (field, kinds) = self.not_carried(&windowed.at, KindSet::TRANSACTIONS);
            let message = Message::new(
                format!("{field} has a value on {kinds}: no transaction looks anything up by it"),
                format!("{field} 仅在 {kinds} 上有值:没有交易能用它查询"),
            );
            let hint = Message::new(
                "name in `at` the transaction's field that looks it up, such as at = [\"account_id\"]",
                "请用 `at` 指明交易中用于查询的字段,例如 at = [\"account_id\"]",
            );
            let place = table.get("at").or_else(|| table.get("key"))?.span();
            self.reader.fail("never-looked-up", place, message, Some(hint));
            return None;
        }
        let field = windowed.agg.field().unwrap_or("");
        let carriers = Source::find(self.schema, field).map_or(KindSet::ALL, Source::carriers);
        if carriers.and(filed).is_empty() {
            let (kinds, filed) = (carriers.listed(), filed.listed());
            let message = Message::new(
                format!("`{field}` has a value on {kinds}, and what is counted is {filed}"),
                format!("`{field}` 仅在 {kinds} 上有值,而统计的是 {filed}"),
            );
            let hint = Message::new(
                "count those kinds, or take a field that the counted ones have",
                "请统计上述种类的事件,或改用被统计事件具有的字段",
            );
            self.reader.fail("never-counted", table.get("field")?.span(), message, Some(hint));
            return None;
        }
        Some(())
    }

    /// The first of these fields that none of these kinds has, quoted, and the kinds that do; of
    /// fields that only together are on none, all.
    fn not_carried(&self, fields: &[String], kinds: KindSet) -> (String, String) {
        let carriers = |field: &String| {
            Source::find(self.schema, field).map_or(KindSet::ALL, Source::carriers)
        };
        let alone = fields.iter().find(|field| carriers(field).and(kinds).is_empty());
        match alone {
            Some(field) => (format!("`{field}`"), carriers(field).listed()),
            None => {
                let all = fields.iter().map(carriers).fold(KindSet::ALL, KindSet::and);
                let quoted: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
                (quoted.join(" + "), all.listed())
            }
        }
    }
}
