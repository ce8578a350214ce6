//! What an expression can come out as on events of a kind: some values are never there on them, and
//! what needs one of those has none either. What is possible by what is said here may still never
//! happen; what is not, never does.

use std::collections::{BTreeMap, BTreeSet};

use super::ast::{Ast, Node, Operator};
use crate::event::{Kind, KindSet};

/// Of which events it is asked.
pub struct Events<'e> {
    /// Their kinds.
    pub kinds: KindSet,
    /// Named conditions.
    pub conditions: &'e BTreeMap<String, Ast>,
    /// The kinds of events on which a name can have a value.
    pub carriers: &'e dyn Fn(&str) -> KindSet,
}

/// What can come of it: of a condition true and false, of anything else both as soon as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct May {
    yes: bool,
    no: bool,
    missing: bool,
}

impl May {
    const ANY: May = May { yes: true, no: true, missing: true };
    const VALUE: May = May { missing: false, ..May::ANY };
    const MISSING: May = May { yes: false, no: false, missing: true };

    fn be(value: bool) -> May {
        May { yes: value, no: !value, missing: false }
    }

    fn has_value(self) -> bool {
        self.yes || self.no
    }
}

impl Ast {
    /// The kinds among those of the events on which it can have a value.
    pub fn kinds_with_value(&self, on: &Events<'_>) -> KindSet {
        on.kinds.iter().filter(|kind| self.may(*kind, on).has_value()).collect()
    }

    /// What can be true on none of the events: the smallest part of the condition that must be and
    /// cannot. Only for what has been compiled, as no condition in that needs itself.
    pub fn never_holds(&self, on: &Events<'_>) -> Option<&Ast> {
        if on.kinds.iter().any(|kind| self.may(kind, on).yes) {
            return None;
        }
        let part = match &self.node {
            Node::And(items) => items.iter().find_map(|item| item.never_holds(on)),
            _ => None,
        };
        Some(part.unwrap_or(self))
    }

    /// The names that it reads and that have a value on none of the events.
    pub fn not_carried(&self, on: &Events<'_>) -> BTreeSet<String> {
        let mut names = self.expanded(on.conditions).written_names();
        names.retain(|name| (on.carriers)(name).and(on.kinds).is_empty());
        names
    }

    fn may(&self, kind: Kind, on: &Events<'_>) -> May {
        let carries = |name: &str| (on.carriers)(name).contains(kind);
        match &self.node {
            Node::Bool(value) => May::be(*value),
            Node::Int(_) | Node::Double(_) | Node::Str(_) => May::VALUE,
            Node::Name(name) => match on.conditions.get(name) {
                Some(condition) => condition.may(kind, on),
                None if carries(name) => May::ANY,
                None => May::MISSING,
            },
            Node::Not(inner) => {
                let inner = inner.may(kind, on);
                May { yes: inner.no, no: inner.yes, ..inner }
            }
            Node::And(items) => joined(items, (kind, on), |may| (may.yes, may.no)),
            Node::Or(items) => {
                let May { yes, no, missing } = joined(items, (kind, on), |may| (may.no, may.yes));
                May { yes: no, no: yes, missing }
            }
            Node::If(test, yes, no) => {
                let (test, yes, no) = (test.may(kind, on), yes.may(kind, on), no.may(kind, on));
                May {
                    yes: test.yes && yes.yes || test.no && no.yes,
                    no: test.yes && yes.no || test.no && no.no,
                    missing: test.missing || test.yes && yes.missing || test.no && no.missing,
                }
            }
            Node::Binary(Operator::Otherwise, first, second) => {
                let (first, second) = (first.may(kind, on), second.may(kind, on));
                May {
                    yes: first.yes || first.missing && second.yes,
                    no: first.no || first.missing && second.no,
                    missing: first.missing,
                }
            }
            Node::Call(function, items) if function == "has" => match items.first() {
                Some(Ast { node: Node::Name(name), .. }) if !carries(name) => May::be(false),
                _ => May::VALUE,
            },
            Node::Binary(operator, left, right) => match of_kind(*operator, left, right, kind) {
                Some(value) => May::be(value),
                None => self.strict(kind, on),
            },
            _ => self.strict(kind, on),
        }
    }

    /// What needs all of its parts has no value where one of them has none.
    fn strict(&self, kind: Kind, on: &Events<'_>) -> May {
        let whole = self.node.children().iter().all(|part| part.may(kind, on).has_value());
        if whole { May::ANY } else { May::MISSING }
    }
}

/// All of a chain: as one item wants it, or as any does.
fn joined(
    items: &[Ast],
    (kind, on): (Kind, &Events<'_>),
    sides: impl Fn(May) -> (bool, bool),
) -> May {
    let mut found = May::be(true);
    for item in items {
        let may = item.may(kind, on);
        let (all, any) = sides(may);
        found = May {
            yes: found.yes && all,
            no: found.no || any,
            missing: found.missing || may.missing,
        };
    }
    found
}

/// What a comparison of the kind with literals comes to.
fn of_kind(operator: Operator, left: &Ast, right: &Ast, kind: Kind) -> Option<bool> {
    let is_kind = |ast: &Ast| matches!(&ast.node, Node::Name(name) if name == "kind");
    let text = |ast: &Ast| match &ast.node {
        Node::Str(text) => Some(text == kind.name()),
        _ => None,
    };
    let same = match (&left.node, &right.node) {
        (_, Node::List(items)) if operator == Operator::In && is_kind(left) => {
            let items: Option<Vec<bool>> = items.iter().map(text).collect();
            return Some(items?.contains(&true));
        }
        _ if is_kind(left) => text(right)?,
        _ if is_kind(right) => text(left)?,
        _ => return None,
    };
    match operator {
        Operator::Equal => Some(same),
        Operator::NotEqual => Some(!same),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::parse;

    /// What a condition can be on a send, where nobody is paid.
    fn on_send(text: &str) -> May {
        let paid = parse("payee_id == 'x'").unwrap();
        let conditions = BTreeMap::from([("paid".to_owned(), paid)]);
        let on = Events { kinds: KindSet::ALL, conditions: &conditions, carriers: &carriers };
        parse(text).unwrap().may(Kind::Send, &on)
    }

    fn carriers(name: &str) -> KindSet {
        if name == "payee_id" { KindSet::PAID } else { KindSet::ALL }
    }

    #[test]
    fn what_is_not_there_takes_with_it_what_needs_it() {
        let (any, yes, no) = (May::ANY, May::be(true), May::be(false));
        let rows = [
            ("amount_fen > 1", any),
            ("payee_id == 'x'", May::MISSING),
            ("!(payee_id == 'x')", May::MISSING),
            ("paid", May::MISSING),
            ("payee_id.startsWith('x')", May::MISSING),
            ("in_list('x', payee_id)", May::MISSING),
            ("payee_id in ['x']", May::MISSING),
            ("has(payee_id)", no),
            ("!has(payee_id)", yes),
            ("(payee_id ?? 'x') == 'x'", any),
            ("paid ?? true", May { missing: true, ..yes }),
            ("kind == 'claim'", no),
            ("'send' == kind", yes),
            ("kind != 'send'", no),
            ("kind in ['claim', 'send']", yes),
            ("kind in ['claim', 'transfer']", no),
            ("kind == account_id", any),
            ("amount_fen > 1 && paid", May { yes: false, ..any }),
            ("amount_fen > 1 || paid", May { no: false, ..any }),
            ("kind == 'claim' || paid", May::MISSING),
            ("kind == 'claim' && paid", May { missing: true, ..no }),
            ("kind == 'claim' ? amount_fen > 1 : paid", May::MISSING),
            ("kind == 'send' ? amount_fen > 1 : paid", any),
        ];
        for (text, wanted) in rows {
            assert_eq!(on_send(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_part_that_cannot_be_true_is_found() {
        let conditions = BTreeMap::new();
        let part = |text: &str, kinds: &[Kind]| {
            let kinds = kinds.iter().copied().collect();
            let on = Events { kinds, conditions: &conditions, carriers: &carriers };
            parse(text).unwrap().never_holds(&on).map(Ast::canonical)
        };
        let both = "amount_fen > 1 && (kind == 'claim' || payee_id == 'x')";
        let wanted = "kind == 'claim' || payee_id == 'x'".to_owned();
        assert_eq!(part(both, &[Kind::Send]), Some(wanted));
        assert_eq!(part(both, &[Kind::Send, Kind::Claim]), None);
        // Neither alone is impossible on both kinds.
        let each = "kind == 'claim' && kind == 'send'";
        assert_eq!(part(each, &[Kind::Send, Kind::Claim]), Some(each.to_owned()));
    }
}
