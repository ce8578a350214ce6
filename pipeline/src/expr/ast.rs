//! The tree of an expression, and its one normal spelling.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

/// An expression as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Ast {
    pub(super) node: Node,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Int(i64),
    Double(f64),
    Bool(bool),
    Str(String),
    Name(String),
    Not(Box<Ast>),
    Negate(Box<Ast>),
    Binary(Operator, Box<Ast>, Box<Ast>),
    If(Box<Ast>, Box<Ast>, Box<Ast>),
    List(Vec<Ast>),
    Call(String, Vec<Ast>),
    /// A function called on a value: `text.contains('x')`.
    Method(Box<Ast>, String, Vec<Ast>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Otherwise,
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// How it is written, and how tightly it binds.
    pub(super) fn spelling(self) -> (&'static str, u8) {
        match self {
            Operator::Otherwise => ("??", 2),
            Operator::Or => ("||", 3),
            Operator::And => ("&&", 4),
            Operator::Equal => ("==", 5),
            Operator::NotEqual => ("!=", 5),
            Operator::Less => ("<", 5),
            Operator::LessEqual => ("<=", 5),
            Operator::Greater => (">", 5),
            Operator::GreaterEqual => (">=", 5),
            Operator::In => ("in", 5),
            Operator::Add => ("+", 6),
            Operator::Subtract => ("-", 6),
            Operator::Multiply => ("*", 7),
            Operator::Divide => ("/", 7),
            Operator::Remainder => ("%", 7),
        }
    }
}

/// How tightly the ternary and the prefix operators bind.
const TERNARY: u8 = 1;
const PREFIX: u8 = 8;
const PRIMARY: u8 = 9;

impl Ast {
    /// The one normal spelling: single blanks, single quotes, only the brackets that are needed.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    /// The names that it uses: fields, features, parameters, named conditions.
    pub fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.each_name(&mut |name| {
            names.insert(name.to_owned());
        });
        names
    }

    fn each_name(&self, found: &mut dyn FnMut(&str)) {
        match &self.node {
            Node::Name(name) => found(name),
            Node::Int(_) | Node::Double(_) | Node::Bool(_) | Node::Str(_) => {}
            Node::Not(inner) | Node::Negate(inner) => inner.each_name(found),
            Node::Binary(_, left, right) => {
                left.each_name(found);
                right.each_name(found);
            }
            Node::If(test, yes, no) => {
                test.each_name(found);
                yes.each_name(found);
                no.each_name(found);
            }
            Node::List(items) | Node::Call(_, items) => {
                items.iter().for_each(|item| item.each_name(found));
            }
            Node::Method(on, _, items) => {
                on.each_name(found);
                items.iter().for_each(|item| item.each_name(found));
            }
        }
    }

    fn write(&self, outer: u8, out: &mut String) {
        let own = match &self.node {
            Node::If(..) => TERNARY,
            Node::Binary(operator, ..) => operator.spelling().1,
            Node::Not(_) | Node::Negate(_) => PREFIX,
            Node::Int(value) if *value < 0 => PREFIX,
            Node::Double(value) if *value < 0.0 => PREFIX,
            _ => PRIMARY,
        };
        if own < outer {
            out.push('(');
        }
        match &self.node {
            Node::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Node::Double(value) => {
                let _ = write!(out, "{value:?}");
            }
            Node::Bool(value) => {
                let _ = write!(out, "{value}");
            }
            Node::Str(value) => write_string(value, out),
            Node::Name(name) => out.push_str(name),
            Node::Not(inner) => {
                out.push('!');
                inner.write(PREFIX, out);
            }
            Node::Negate(inner) => {
                out.push('-');
                // Brackets keep `-(1)` apart from the literal `-1`, and `-(-x)` from `--x`.
                let literal = matches!(inner.node, Node::Int(_) | Node::Double(_));
                inner.write(if literal { PRIMARY + 1 } else { PRIMARY }, out);
            }
            Node::Binary(operator, left, right) => {
                let (text, binds) = operator.spelling();
                left.write(binds, out);
                let _ = write!(out, " {text} ");
                right.write(binds + 1, out);
            }
            Node::If(test, yes, no) => {
                test.write(TERNARY + 1, out);
                out.push_str(" ? ");
                yes.write(TERNARY + 1, out);
                out.push_str(" : ");
                no.write(TERNARY, out);
            }
            Node::List(items) => {
                out.push('[');
                write_items(items, out);
                out.push(']');
            }
            Node::Call(name, items) => {
                out.push_str(name);
                out.push('(');
                write_items(items, out);
                out.push(')');
            }
            Node::Method(on, name, items) => {
                on.write(PRIMARY, out);
                let _ = write!(out, ".{name}(");
                write_items(items, out);
                out.push(')');
            }
        }
        if own < outer {
            out.push(')');
        }
    }
}

fn write_items(items: &[Ast], out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        item.write(0, out);
    }
}

fn write_string(value: &str, out: &mut String) {
    out.push('\'');
    for character in value.chars() {
        match character {
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('\'');
}
