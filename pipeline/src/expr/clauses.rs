//! A condition taken apart into what a person calls its clauses.

use std::collections::BTreeMap;

use super::ast::{Ast, Node, Operator};

/// How the parts of a clause make up its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// True where all are: `a && b`.
    All,
    /// True where one is: `a || b`.
    Any,
    /// True where its one part is false: `!(a && b)`.
    Not,
    /// What its one part is: a condition of that name.
    Named(String),
    /// It has no parts: one comparison, or whatever else is true or false by itself.
    None,
}

/// A condition, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// What it says.
    pub ast: Ast,
    /// How its parts make up its outcome.
    pub join: Join,
    /// Its parts, in the order in which they are written.
    pub parts: Vec<Clause>,
}

impl Ast {
    /// The condition as clauses. Named conditions become the part of a clause with that name; only
    /// for what has been compiled, which bounds how large that gets.
    pub fn clauses(&self, conditions: &BTreeMap<String, Ast>) -> Clause {
        let all = |items: &[Ast]| items.iter().map(|item| item.clauses(conditions)).collect();
        let (join, parts) = match &self.node {
            Node::And(items) => (Join::All, all(items)),
            Node::Or(items) => (Join::Any, all(items)),
            // `!in_list(...)` is read as one thing.
            Node::Not(inner) if matches!(inner.node, Node::And(_) | Node::Or(_)) => {
                (Join::Not, vec![inner.clauses(conditions)])
            }
            Node::Name(name) => match conditions.get(name) {
                Some(condition) => (Join::Named(name.clone()), vec![condition.clauses(conditions)]),
                None => (Join::None, Vec::new()),
            },
            _ => (Join::None, Vec::new()),
        };
        Clause { ast: self.clone(), join, parts }
    }

    /// The two sides of a comparison; none where it is no comparison.
    pub fn sides(&self) -> Option<(&Ast, &Ast)> {
        match &self.node {
            Node::Binary(operator, left, right) if operator.compares() => Some((left, right)),
            _ => None,
        }
    }

    /// The name that it is, if it is nothing but a name.
    pub fn as_name(&self) -> Option<&str> {
        match &self.node {
            Node::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Whether its value is the same for every row and stands there as it is: `5`, `yuan(5000)`.
    pub fn is_literal(&self) -> bool {
        match &self.node {
            Node::Int(_) | Node::Double(_) | Node::Bool(_) | Node::Str(_) => true,
            Node::Negate(inner) => inner.is_literal(),
            Node::Call(name, items) => {
                matches!(name.as_str(), "yuan" | "duration") && items.iter().all(Ast::is_literal)
            }
            _ => false,
        }
    }
}

impl Operator {
    /// Whether it compares its sides.
    pub(super) fn compares(self) -> bool {
        matches!(
            self,
            Operator::Equal
                | Operator::NotEqual
                | Operator::Less
                | Operator::LessEqual
                | Operator::Greater
                | Operator::GreaterEqual
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::parse;

    fn shape(clause: &Clause) -> String {
        let parts: Vec<String> = clause.parts.iter().map(shape).collect();
        let parts = parts.join("; ");
        match &clause.join {
            Join::All => format!("all({parts})"),
            Join::Any => format!("any({parts})"),
            Join::Not => format!("not({parts})"),
            Join::Named(name) => format!("{name}:({parts})"),
            Join::None => clause.ast.canonical(),
        }
    }

    #[test]
    fn a_condition_falls_apart_where_a_person_would_take_it_apart() {
        let night = parse("hour(event_time) < 6 || hour(event_time) >= 23").unwrap();
        let conditions = BTreeMap::from([("night".to_owned(), night)]);
        let rows = [
            ("a > 1", "a > 1"),
            ("a > 1 && (b || c == 2)", "all(a > 1; any(b; c == 2))"),
            ("a && b && c", "all(a; b; c)"),
            ("!(a && b)", "not(all(a; b))"),
            ("!in_list('x', a)", "!in_list('x', a)"),
            ("night && a", "all(night:(any(hour(event_time) < 6; hour(event_time) >= 23)); a)"),
            ("a ? b : c", "a ? b : c"),
        ];
        for (text, wanted) in rows {
            assert_eq!(shape(&parse(text).unwrap().clauses(&conditions)), wanted, "{text}");
        }
    }

    #[test]
    fn comparisons_have_sides_and_constants_are_literals() {
        let ast = parse("a + 1 >= yuan(5)").unwrap();
        let (left, right) = ast.sides().unwrap();
        assert_eq!((left.canonical().as_str(), left.as_name()), ("a + 1", None));
        assert!(right.is_literal() && !left.is_literal());
        for no in ["a + 1", "a in [1]", "a && b", "!a"] {
            assert!(parse(no).unwrap().sides().is_none(), "{no}");
        }
    }
}
