//! Small changes of an expression, to find out whether any test would notice them.

use std::ops::Range;

use super::ast::{Ast, Node, Operator};
use super::{Constant, Unit, duration, format_duration, format_yuan, yuan};

/// An expression with one small change.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutant {
    /// The expression.
    pub ast: Ast,
    /// Where what was changed stands in the original, in bytes.
    pub span: Range<usize>,
    /// What was changed.
    pub change: Change,
}

/// What was changed in an expression; parts of it as text in the one normal spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A comparison has another operator.
    Compare {
        /// The left side.
        left: String,
        /// The operator as it was.
        from: &'static str,
        /// The operator as it is.
        to: &'static str,
        /// The right side.
        right: String,
    },
    /// Of two neighbours one is enough instead of both (`&&` to `||`), or the other way round.
    Join {
        /// The left neighbour.
        left: String,
        /// What joined them.
        from: &'static str,
        /// What joins them.
        to: &'static str,
        /// The right neighbour.
        right: String,
    },
    /// A clause is not there.
    Dropped {
        /// The clause.
        clause: String,
        /// What joined it to the others.
        of: &'static str,
    },
    /// What was denied is asked.
    Affirmed {
        /// What was denied.
        clause: String,
    },
    /// A missing value has no other in its place.
    NoDefault {
        /// What may be missing, with its default.
        clause: String,
    },
    /// A number is another.
    Number {
        /// As it was.
        from: String,
        /// As it is.
        to: String,
    },
}

impl Ast {
    /// The expression with each small change: of comparisons their edge and their sense, `&&` and
    /// `||`, clauses left out, `!` and defaults taken away, numbers by one of their unit.
    pub fn mutants(&self) -> Vec<Mutant> {
        let mut mutants = self.own_mutants();
        for (at, child) in self.node.children().into_iter().enumerate() {
            if self.is_quantity() {
                break;
            }
            for mutant in child.mutants() {
                let ast = self.with_child(at, mutant.ast);
                mutants.push(Mutant { ast, ..mutant });
            }
        }
        mutants
    }

    /// The changes of this node itself.
    fn own_mutants(&self) -> Vec<Mutant> {
        let changed = |node: Node, change: Change| Mutant {
            ast: Ast::new(node, self.span.clone()),
            span: self.span.clone(),
            change,
        };
        match &self.node {
            Node::Binary(Operator::Otherwise, left, _) => {
                let change = Change::NoDefault { clause: self.canonical() };
                vec![changed(left.node.clone(), change)]
            }
            Node::Binary(operator, left, right) => {
                let sides = (left.canonical(), right.canonical());
                let other = |to: &Operator| {
                    let change = Change::Compare {
                        left: sides.0.clone(),
                        from: operator.spelling().0,
                        to: to.spelling().0,
                        right: sides.1.clone(),
                    };
                    changed(Node::Binary(*to, left.clone(), right.clone()), change)
                };
                operator.others().iter().map(other).collect()
            }
            Node::And(items) => self.joins(items, true),
            Node::Or(items) => self.joins(items, false),
            Node::Not(inner) => {
                let change = Change::Affirmed { clause: inner.canonical() };
                vec![changed(inner.node.clone(), change)]
            }
            _ => self
                .neighbours()
                .into_iter()
                .map(|node| {
                    let to = Ast::new(node.clone(), self.span.clone()).canonical();
                    changed(node, Change::Number { from: self.canonical(), to })
                })
                .collect(),
        }
    }

    /// The changes of a chain of `&&` or `||`.
    fn joins(&self, items: &[Ast], and: bool) -> Vec<Mutant> {
        let (from, to) = if and { ("&&", "||") } else { ("||", "&&") };
        let chain =
            |items: Vec<Ast>, and: bool, span: Range<usize>| match <[Ast; 1]>::try_from(items) {
                Ok([one]) => one,
                Err(items) => Ast::new(if and { Node::And(items) } else { Node::Or(items) }, span),
            };
        let mut mutants = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let mut left = items.to_vec();
            left.remove(at);
            mutants.push(Mutant {
                ast: chain(left, and, self.span.clone()),
                span: item.span.clone(),
                change: Change::Dropped { clause: item.canonical(), of: from },
            });
        }
        for (at, pair) in items.windows(2).enumerate() {
            let span = pair[0].span.start..pair[1].span.end;
            let mut swapped = items.to_vec();
            let joined = chain(pair.to_vec(), !and, span.clone());
            swapped.splice(at..at + 2, [joined]);
            let (left, right) = (pair[0].canonical(), pair[1].canonical());
            mutants.push(Mutant {
                ast: chain(swapped, and, self.span.clone()),
                span,
                change: Change::Join { left, from, to, right },
            });
        }
        mutants
    }

    /// `yuan(5000)` and `duration('24h')` are one number.
    fn is_quantity(&self) -> bool {
        matches!(&self.node, Node::Call(name, _) if matches!(name.as_str(), "yuan" | "duration"))
    }

    /// A number and its neighbours; nothing for anything else.
    fn neighbours(&self) -> Vec<Node> {
        let call = |name: &str, node: Node| {
            Node::Call(name.to_owned(), vec![Ast::new(node, self.span.clone())])
        };
        match &self.node {
            Node::Int(value) => int(&Constant::Int(*value), Unit::None),
            Node::Double(value) => int(&Constant::Double(*value), Unit::None),
            Node::Call(name, items) => match (name.as_str(), items.as_slice()) {
                ("yuan", [amount]) => {
                    let Some(fen) = yuan(&amount.canonical()) else { return Vec::new() };
                    let of = neighbours(&Constant::Int(fen), Unit::Yuan).into_iter();
                    let number = |fen: i64| {
                        let text = format_yuan(fen);
                        match text.strip_suffix(".00").map(str::parse) {
                            Some(Ok(whole)) => Node::Int(whole),
                            _ => text.parse().map_or(Node::Int(0), Node::Double),
                        }
                    };
                    let amounts = of.filter_map(|value| match value {
                        Constant::Int(fen) => Some(call("yuan", number(fen))),
                        _ => None,
                    });
                    amounts.collect()
                }
                ("duration", [text]) => {
                    let Node::Str(text) = &text.node else { return Vec::new() };
                    let Some(ms) = duration(text) else { return Vec::new() };
                    let of = neighbours(&Constant::Int(ms), Unit::Duration).into_iter();
                    let times = of.filter_map(|value| match value {
                        Constant::Int(ms) if ms >= 0 => {
                            Some(call("duration", Node::Str(format_duration(ms))))
                        }
                        _ => None,
                    });
                    times.collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// The same with another child in place of one.
    fn with_child(&self, at: usize, child: Ast) -> Ast {
        let boxed = |place: usize, held: &Ast| {
            Box::new(if place == at { child.clone() } else { held.clone() })
        };
        let all = |from: usize, items: &[Ast]| -> Vec<Ast> {
            let one = |(place, held): (usize, &Ast)| *boxed(from + place, held);
            items.iter().enumerate().map(one).collect()
        };
        let node = match &self.node {
            Node::Int(_) | Node::Double(_) | Node::Bool(_) | Node::Str(_) | Node::Name(_) => {
                self.node.clone()
            }
            Node::Not(inner) => Node::Not(boxed(0, inner)),
            Node::Negate(inner) => Node::Negate(boxed(0, inner)),
            Node::Binary(operator, left, right) => {
                Node::Binary(*operator, boxed(0, left), boxed(1, right))
            }
            Node::If(test, yes, no) => Node::If(boxed(0, test), boxed(1, yes), boxed(2, no)),
            Node::And(items) => Node::And(all(0, items)),
            Node::Or(items) => Node::Or(all(0, items)),
            Node::List(items) => Node::List(all(0, items)),
            Node::Call(name, items) => Node::Call(name.clone(), all(0, items)),
            Node::Method(on, name, items) => {
                Node::Method(boxed(0, on), name.clone(), all(1, items))
            }
        };
        Ast::new(node, self.span.clone())
    }
}

impl Operator {
    /// Other comparisons: with the other edge, and with the other sense.
    fn others(self) -> &'static [Operator] {
        use Operator::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        match self {
            Equal => &[NotEqual],
            NotEqual => &[Equal],
            Less => &[LessEqual, GreaterEqual],
            LessEqual => &[Less, Greater],
            Greater => &[GreaterEqual, LessEqual],
            GreaterEqual => &[Greater, Less],
            _ => &[],
        }
    }
}

fn int(value: &Constant, unit: Unit) -> Vec<Node> {
    let node = |value: Constant| match value {
        Constant::Int(value) => Some(Node::Int(value)),
        Constant::Double(value) => Some(Node::Double(value)),
        _ => None,
    };
    neighbours(value, unit).into_iter().filter_map(node).collect()
}

/// The values next to a value: one less and one more of its unit (fen; seconds, or ms of what is no
/// whole second; the last digit of a double as it is written), the other truth value. Texts have no
/// neighbours.
pub fn neighbours(value: &Constant, unit: Unit) -> Vec<Constant> {
    const SECOND_MS: i64 = 1_000;
    match value {
        Constant::Int(value) => {
            let step = match unit {
                Unit::Duration if value % SECOND_MS == 0 => SECOND_MS,
                _ => 1,
            };
            let both = [value.checked_sub(step), value.checked_add(step)];
            both.into_iter().flatten().map(Constant::Int).collect()
        }
        Constant::Double(value) => {
            let written = format!("{value:?}");
            // Of 1e-7 the last digit is no place after a point.
            let Some((_, decimals)) = written.split_once('.').filter(|_| !written.contains('e'))
            else {
                return Vec::new();
            };
            let places = decimals.len();
            let scale = (0..places).fold(1.0, |scale, _| scale * 10.0);
            let units = libm::round(value * scale);
            [units - 1.0, units + 1.0].map(|units| Constant::Double(units / scale)).to_vec()
        }
        Constant::Bool(value) => vec![Constant::Bool(!value)],
        Constant::Str(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::parse;

    fn check(text: &str, wanted: &[&str]) {
        let ast = parse(text).unwrap();
        let found: Vec<String> = ast.mutants().iter().map(|one| one.ast.canonical()).collect();
        assert_eq!(found, wanted, "{text}");
        for mutant in ast.mutants() {
            assert!(mutant.span.end <= text.len() && mutant.span.start < mutant.span.end, "{text}");
            // What is written reads as what was meant.
            let again = parse(&mutant.ast.canonical()).unwrap();
            assert_eq!(again.canonical(), mutant.ast.canonical());
        }
    }

    #[test]
    fn every_small_change_is_made_once() {
        check("a >= b", &["a > b", "a < b"]);
        check("a == 'x'", &["a != 'x'"]);
        check("a < 3", &["a <= 3", "a >= 3", "a < 2", "a < 4"]);
        check("a && b", &["b", "a", "a || b"]);
        check("a && b && c", &["b && c", "a && c", "a && b", "(a || b) && c", "a && (b || c)"]);
        check("a || b || c", &["b || c", "a || c", "a || b", "a && b || c", "a || b && c"]);
        check("!in_list('x', a)", &["in_list('x', a)"]);
        check(
            "a > yuan(50)",
            &["a >= yuan(50)", "a <= yuan(50)", "a > yuan(49.99)", "a > yuan(50.01)"],
        );
        check(
            "a <= duration('10m')",
            &[
                "a < duration('10m')",
                "a > duration('10m')",
                "a <= duration('9m59s')",
                "a <= duration('10m1s')",
            ],
        );
        check(
            "(a ?? 0) > 1",
            &[
                "a ?? 0 >= 1",
                "a ?? 0 <= 1",
                "a > 1",
                "a ?? -1 > 1",
                "a ?? 1 > 1",
                "a ?? 0 > 0",
                "a ?? 0 > 2",
            ],
        );
        check("a in [2]", &["a in [1]", "a in [3]"]);
        check("a ? b : c", &[]);
    }

    #[test]
    fn a_double_moves_by_the_digit_that_is_written_last() {
        let of = |value: f64| neighbours(&Constant::Double(value), Unit::None);
        assert_eq!(of(0.6), [Constant::Double(0.5), Constant::Double(0.7)]);
        assert_eq!(of(0.85), [Constant::Double(0.84), Constant::Double(0.86)]);
        assert_eq!(of(2.0), [Constant::Double(1.9), Constant::Double(2.1)]);
        assert_eq!(of(1e-9), []);
    }

    #[test]
    fn a_parameter_moves_by_one_of_its_unit() {
        let of = |value: i64, unit: Unit| neighbours(&Constant::Int(value), unit);
        assert_eq!(of(3, Unit::None), [Constant::Int(2), Constant::Int(4)]);
        assert_eq!(of(5_000, Unit::Yuan), [Constant::Int(4_999), Constant::Int(5_001)]);
        assert_eq!(of(60_000, Unit::Duration), [Constant::Int(59_000), Constant::Int(61_000)]);
        assert_eq!(of(1_500, Unit::Duration), [Constant::Int(1_499), Constant::Int(1_501)]);
        assert_eq!(neighbours(&Constant::Bool(true), Unit::None), [Constant::Bool(false)]);
        assert_eq!(neighbours(&Constant::Str("a".into()), Unit::None), []);
    }
}
