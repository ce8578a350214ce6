//! Reading an expression.

use std::ops::Range;

use super::ExprError;
use super::ast::{Ast, Node, Operator, binding};
use super::lexer::{Spanned, Token, number_too_large, tokens};
use crate::diagnostic::Message;

/// The longest expression, in bytes: a condition that a person can read is far shorter.
const EXPRESSION_BYTES_MAX: usize = 16 * 1024;
/// The deepest nesting, so that no input can exhaust the stack.
const DEPTH_MAX: usize = 64;

/// Reads an expression.
pub fn parse(source: &str) -> Result<Ast, Vec<ExprError>> {
    if source.len() > EXPRESSION_BYTES_MAX {
        let (en, zh) = ("the expression is longer than 16 KiB", "表达式超过 16 KiB");
        return Err(vec![*error("expression-too-long", 0..source.len(), en, zh)]);
    }
    let tokens = tokens(source).map_err(|error| vec![*error])?;
    let mut parser = Parser { tokens, at: 0, end: source.len(), depth: 0 };
    let ast = parser.expression(0).map_err(|error| vec![*error])?;
    match parser.peek() {
        None => Ok(ast),
        Some(_) => {
            let mut error = parser.unexpected("an operator", "运算符");
            error.hint = parser.word_hint();
            Err(vec![*error])
        }
    }
}

/// What was read, or the mistake that ended the reading.
pub(super) type Parsed<T> = Result<T, Box<ExprError>>;

/// A mistake without a hint.
pub(super) fn error(code: &'static str, span: Range<usize>, en: &str, zh: &str) -> Box<ExprError> {
    Box::new(ExprError { code, span, message: Message::new(en, zh), hint: None })
}

/// What stands between two values.
enum Infix {
    And,
    Or,
    Binary(Operator),
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |(_, span)| span.clone())
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Mark(held)) if *held == mark);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: &'static str) -> Parsed<()> {
        if self.take(mark) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{mark}`"), &format!("`{mark}`")))
    }

    fn unexpected(&self, en: &str, zh: &str) -> Box<ExprError> {
        let (code, found, found_zh) = match self.peek() {
            Some(_) => ("unexpected-token", "here", "此处"),
            None => ("unexpected-end", "at the end", "结尾处"),
        };
        error(code, self.span(), &format!("expected {en} {found}"), &format!("{found_zh}应为{zh}"))
    }

    /// The mark for a word that other languages use for it.
    fn word_hint(&self) -> Option<Message> {
        let mark = match self.peek() {
            Some(Token::Name(word)) => match word.to_ascii_lowercase().as_str() {
                "and" => "&&",
                "or" => "||",
                "is" => "==",
                "yuan" => "yuan(5000)",
                _ => return None,
            },
            _ => return None,
        };
        Some(Message::new(format!("write `{mark}`"), format!("请写 `{mark}`")))
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Parsed<Ast> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_deep(self.span()));
        }
        let mut left = self.prefix()?;
        while let Some((infix, binds)) = self.infix().filter(|(_, binds)| *binds >= least) {
            self.at += 1;
            let right = self.expression(binds + 1)?;
            let span = left.span.start..right.span.end;
            let node = match infix {
                Infix::And => Node::And(chain(left, right, |node| match node {
                    Node::And(items) => Ok(items),
                    other => Err(other),
                })),
                Infix::Or => Node::Or(chain(left, right, |node| match node {
                    Node::Or(items) => Ok(items),
                    other => Err(other),
                })),
                Infix::Binary(operator) => Node::Binary(operator, Box::new(left), Box::new(right)),
            };
            left = bounded(node, span)?;
        }
        if least <= binding::TERNARY && self.take("?") {
            let yes = self.expression(0)?;
            self.expect(":")?;
            let no = self.expression(0)?;
            let span = left.span.start..no.span.end;
            left = bounded(Node::If(Box::new(left), Box::new(yes), Box::new(no)), span)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn infix(&self) -> Option<(Infix, u8)> {
        let operator = match self.peek()? {
            Token::Name(name) if name == "in" => Operator::In,
            Token::Mark("??") => Operator::Otherwise,
            Token::Mark("||") => return Some((Infix::Or, binding::OR)),
            Token::Mark("&&") => return Some((Infix::And, binding::AND)),
            Token::Mark("==") => Operator::Equal,
            Token::Mark("!=") => Operator::NotEqual,
            Token::Mark("<") => Operator::Less,
            Token::Mark("<=") => Operator::LessEqual,
            Token::Mark(">") => Operator::Greater,
            Token::Mark(">=") => Operator::GreaterEqual,
            Token::Mark("+") => Operator::Add,
            Token::Mark("-") => Operator::Subtract,
            Token::Mark("*") => Operator::Multiply,
            Token::Mark("/") => Operator::Divide,
            Token::Mark("%") => Operator::Remainder,
            _ => return None,
        };
        Some((Infix::Binary(operator), operator.spelling().1))
    }

    fn prefix(&mut self) -> Parsed<Ast> {
        let mut marks: Vec<(bool, usize)> = Vec::new();
        while let Some(Token::Mark(mark @ ("!" | "-"))) = self.peek() {
            // The sign of a number is part of it.
            if *mark == "-" && self.number_follows() {
                break;
            }
            marks.push((*mark == "-", self.span().start));
            self.at += 1;
        }
        let mut ast = self.postfix()?;
        for (negate, start) in marks.into_iter().rev() {
            let span = start..ast.span.end;
            let node = match ast.node {
                // `-(5)` is `-5`, also where only the brackets kept the sign from its number.
                Node::Int(value) if negate && value >= 0 => Node::Int(-value),
                Node::Double(value) if negate && value.is_sign_positive() => Node::Double(-value),
                _ if negate => Node::Negate(Box::new(ast)),
                _ => Node::Not(Box::new(ast)),
            };
            ast = bounded(node, span)?;
        }
        Ok(ast)
    }

    fn number_follows(&self) -> bool {
        let next = self.tokens.get(self.at + 1).map(|(token, _)| token);
        matches!(next, Some(Token::Int(_) | Token::Double(_)))
    }

    fn postfix(&mut self) -> Parsed<Ast> {
        let mut ast = self.primary()?;
        while let Some(Token::Name(name)) = self.peek() {
            let Some(method) = name.strip_prefix('.').map(str::to_owned) else { break };
            self.at += 1;
            self.expect("(")?;
            let items = self.items(")")?;
            let span = ast.span.start..self.taken_end();
            ast = bounded(Node::Method(Box::new(ast), method, items), span)?;
        }
        Ok(ast)
    }

    /// Where the token that was taken last ends.
    fn taken_end(&self) -> usize {
        self.tokens[..self.at].last().map_or(0, |(_, span)| span.end)
    }

    fn primary(&mut self) -> Parsed<Ast> {
        let span = self.span();
        let negative = matches!(self.peek(), Some(Token::Mark("-"))) && self.number_follows();
        self.at += usize::from(negative);
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected("a value", "一个值"));
        };
        self.at += 1;
        let node = match token {
            Token::Int(size) => {
                let zero: i64 = 0;
                let value = match negative {
                    true => zero.checked_sub_unsigned(size),
                    false => zero.checked_add_unsigned(size),
                };
                let span = span.start..self.taken_end();
                Node::Int(value.ok_or_else(|| number_too_large(span))?)
            }
            Token::Double(value) => Node::Double(if negative { -value } else { value }),
            Token::Str(text) => Node::Str(text),
            Token::Name(name) if name == "true" => Node::Bool(true),
            Token::Name(name) if name == "false" => Node::Bool(false),
            Token::Name(name) if name != "in" && !name.starts_with('.') => {
                return self.named(name, span);
            }
            Token::Mark("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Mark("[") => Node::List(self.items("]")?),
            _ => {
                self.at -= 1;
                return Err(self.unexpected("a value", "一个值"));
            }
        };
        bounded(node, span.start..self.taken_end())
    }

    /// A name, a call, or a method on a dotted name.
    fn named(&mut self, name: String, span: Range<usize>) -> Parsed<Ast> {
        if !self.take("(") {
            return Ok(Ast::new(Node::Name(name), span));
        }
        let items = self.items(")")?;
        let node = match name.rsplit_once('.') {
            Some((on, method)) => {
                let on_span = span.start..span.start + on.len();
                let on = Ast::new(Node::Name(on.to_owned()), on_span);
                Node::Method(Box::new(on), method.to_owned(), items)
            }
            None => Node::Call(name, items),
        };
        bounded(node, span.start..self.taken_end())
    }

    fn items(&mut self, close: &'static str) -> Parsed<Vec<Ast>> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expression(0)?);
            if !self.take(",") {
                self.expect(close)?;
                return Ok(items);
            }
        }
    }
}

/// The sides of `&&` or `||` with those of the same operator inside them, in one row.
fn chain(left: Ast, right: Ast, open: fn(Node) -> Result<Vec<Ast>, Node>) -> Vec<Ast> {
    let opened = |ast: Ast| match open(ast.node) {
        Ok(items) => items,
        Err(node) => vec![Ast { node, ..ast }],
    };
    let mut items = opened(left);
    items.extend(opened(right));
    items
}

fn bounded(node: Node, span: Range<usize>) -> Parsed<Ast> {
    let ast = Ast::new(node, span);
    if ast.height > DEPTH_MAX { Err(too_deep(ast.span)) } else { Ok(ast) }
}

fn too_deep(span: Range<usize>) -> Box<ExprError> {
    let mut error =
        error("too-deep", span, "the expression is nested too deeply", "表达式嵌套过深");
    error.hint = Some(Message::new(
        "give a part of it a name in conditions.toml",
        "可把其中一部分写成 conditions.toml 中的命名条件",
    ));
    error
}
