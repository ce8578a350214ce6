//! The tree of an expression, and its one normal spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// An expression as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Ast {
    pub(super) node: Node,
    pub(super) span: Range<usize>,
    /// The longest way down the tree. The parser bounds it, because everything that walks a tree
    /// does so on the stack.
    pub(super) height: usize,
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
    /// `a && b && c`, in one node however it was bracketed, so that a long chain is not deep.
    And(Vec<Ast>),
    /// `a || b || c`, likewise.
    Or(Vec<Ast>),
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

/// How tightly each form binds, from the ternary to a name.
pub(super) mod binding {
    pub(crate) const TERNARY: u8 = 1;
    pub(crate) const OR: u8 = 2;
    pub(crate) const AND: u8 = 3;
    pub(crate) const COMPARISON: u8 = 4;
    pub(crate) const SUM: u8 = 5;
    pub(crate) const PRODUCT: u8 = 6;
    /// `??` belongs to the value before it: `a + b ?? 0` is `a + (b ?? 0)`.
    pub(crate) const OTHERWISE: u8 = 7;
    pub(crate) const PREFIX: u8 = 8;
    pub(crate) const PRIMARY: u8 = 9;
}
use binding::{AND, COMPARISON, OR, OTHERWISE, PREFIX, PRIMARY, PRODUCT, SUM, TERNARY};

impl Operator {
    /// How it is written, and how tightly it binds.
    pub(super) fn spelling(self) -> (&'static str, u8) {
        match self {
            Operator::Equal => ("==", COMPARISON),
            Operator::NotEqual => ("!=", COMPARISON),
            Operator::Less => ("<", COMPARISON),
            Operator::LessEqual => ("<=", COMPARISON),
            Operator::Greater => (">", COMPARISON),
            Operator::GreaterEqual => (">=", COMPARISON),
            Operator::In => ("in", COMPARISON),
            Operator::Add => ("+", SUM),
            Operator::Subtract => ("-", SUM),
            Operator::Multiply => ("*", PRODUCT),
            Operator::Divide => ("/", PRODUCT),
            Operator::Remainder => ("%", PRODUCT),
            Operator::Otherwise => ("??", OTHERWISE),
        }
    }
}

impl Node {
    pub(super) fn children(&self) -> Vec<&Ast> {
        match self {
            Node::Int(_) | Node::Double(_) | Node::Bool(_) | Node::Str(_) | Node::Name(_) => vec![],
            Node::Not(inner) | Node::Negate(inner) => vec![inner],
            Node::Binary(_, left, right) => vec![left, right],
            Node::If(test, yes, no) => vec![test, yes, no],
            Node::And(items) | Node::Or(items) | Node::List(items) | Node::Call(_, items) => {
                items.iter().collect()
            }
            Node::Method(on, _, items) => std::iter::once(&**on).chain(items).collect(),
        }
    }
}

impl Ast {
    pub(super) fn new(node: Node, span: Range<usize>) -> Ast {
        let below = node.children().iter().map(|child| child.height).max();
        Ast { node, span, height: below.map_or(0, |height| height + 1) }
    }

    /// Where it stands in its text, in bytes.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The one normal spelling: single blanks, single quotes, only the brackets that are needed.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    /// The names that it uses: fields, features, parameters, named conditions. `in_list` reads
    /// `event_time`, the time at which the list is asked.
    pub fn names(&self) -> BTreeSet<String> {
        let mut names = self.written_names();
        let asks_a_list = |ast: &Ast| matches!(&ast.node, Node::Call(name, _) if name == "in_list");
        if self.any(&asks_a_list) {
            names.insert("event_time".to_owned());
        }
        names
    }

    /// The names that stand in it.
    pub fn written_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.each(&mut |ast| {
            if let Node::Name(name) = &ast.node {
                names.insert(name.clone());
            }
        });
        names
    }

    /// The lists whose values it takes for days.
    pub fn calendars(&self) -> BTreeSet<String> {
        let mut calendars = BTreeSet::new();
        self.each(&mut |ast| match &ast.node {
            Node::Call(function, items) if function == "in_calendar" => {
                if let Some(Node::Str(name)) = items.first().map(|list| &list.node) {
                    calendars.insert(name.clone());
                }
            }
            _ => {}
        });
        calendars
    }

    /// The same with named conditions in place of their names. Only for what has been compiled:
    /// that bounds how large it gets, and no condition in it needs itself.
    pub fn expanded(&self, conditions: &BTreeMap<String, Ast>) -> Ast {
        let one = |ast: &Ast| ast.expanded(conditions);
        let boxed = |ast: &Ast| Box::new(ast.expanded(conditions));
        let all = |items: &[Ast]| -> Vec<Ast> { items.iter().map(one).collect() };
        let node = match &self.node {
            Node::Name(name) => match conditions.get(name) {
                Some(condition) => return condition.expanded(conditions),
                None => self.node.clone(),
            },
            Node::Int(_) | Node::Double(_) | Node::Bool(_) | Node::Str(_) => self.node.clone(),
            Node::Not(inner) => Node::Not(boxed(inner)),
            Node::Negate(inner) => Node::Negate(boxed(inner)),
            // A chain in a chain is one chain, as the parser makes it.
            Node::And(items) => {
                Node::And(all(items).into_iter().flat_map(Ast::conjuncts).collect())
            }
            Node::Or(items) => Node::Or(all(items).into_iter().flat_map(Ast::disjuncts).collect()),
            Node::Binary(operator, left, right) => {
                Node::Binary(*operator, boxed(left), boxed(right))
            }
            Node::If(test, yes, no) => Node::If(boxed(test), boxed(yes), boxed(no)),
            Node::List(items) => Node::List(all(items)),
            Node::Call(name, items) => Node::Call(name.clone(), all(items)),
            Node::Method(on, name, items) => Node::Method(boxed(on), name.clone(), all(items)),
        };
        Ast::new(node, self.span.clone())
    }

    fn conjuncts(self) -> Vec<Ast> {
        match self.node {
            Node::And(items) => items,
            _ => vec![self],
        }
    }

    fn disjuncts(self) -> Vec<Ast> {
        match self.node {
            Node::Or(items) => items,
            _ => vec![self],
        }
    }

    /// Shows every part of the tree, itself first.
    fn each(&self, show: &mut dyn FnMut(&Ast)) {
        show(self);
        for child in self.node.children() {
            child.each(show);
        }
    }

    fn any(&self, is: &dyn Fn(&Ast) -> bool) -> bool {
        is(self) || self.node.children().into_iter().any(|child| child.any(is))
    }

    /// How tightly it binds as it is written.
    fn binds(&self) -> u8 {
        match &self.node {
            Node::If(..) => TERNARY,
            Node::Or(_) => OR,
            Node::And(_) => AND,
            Node::Binary(operator, ..) => operator.spelling().1,
            Node::Not(_) | Node::Negate(_) => PREFIX,
            Node::Int(value) if *value < 0 => PREFIX,
            Node::Double(value) if value.is_sign_negative() => PREFIX,
            _ => PRIMARY,
        }
    }

    /// Writes it where `outer` is what binds around it.
    fn write(&self, outer: u8, out: &mut String) {
        if self.binds() < outer {
            out.push('(');
            self.write_bare(out);
            out.push(')');
        } else {
            self.write_bare(out);
        }
    }

    fn write_bare(&self, out: &mut String) {
        match &self.node {
            Node::Int(value) => out.push_str(&value.to_string()),
            // With a point or an exponent, so that it is read as a double again.
            Node::Double(value) => out.push_str(&format!("{value:?}")),
            Node::Bool(value) => out.push_str(&value.to_string()),
            Node::Str(value) => write_string(value, out),
            Node::Name(name) => out.push_str(name),
            Node::Not(inner) => {
                out.push('!');
                inner.write(PREFIX, out);
            }
            Node::Negate(inner) => {
                out.push('-');
                // Brackets keep `-(-x)` apart from `--x`, which would read as a slip.
                inner.write(PRIMARY, out);
            }
            Node::And(items) => write_items(items, " && ", AND + 1, out),
            Node::Or(items) => write_items(items, " || ", OR + 1, out),
            Node::Binary(operator, left, right) => {
                let (text, binds) = operator.spelling();
                left.write(binds, out);
                out.push_str(&format!(" {text} "));
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
                write_items(items, ", ", 0, out);
                out.push(']');
            }
            Node::Call(name, items) => write_call(name, items, out),
            Node::Method(on, name, items) => {
                // Without brackets `true.size` would read as a dotted name.
                let outer = if matches!(on.node, Node::Bool(_)) { PRIMARY + 1 } else { PRIMARY };
                on.write(outer, out);
                out.push('.');
                write_call(name, items, out);
            }
        }
    }
}

fn write_call(name: &str, items: &[Ast], out: &mut String) {
    out.push_str(name);
    out.push('(');
    write_items(items, ", ", 0, out);
    out.push(')');
}

fn write_items(items: &[Ast], between: &str, outer: u8, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(between);
        }
        item.write(outer, out);
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
