//! Reading an expression.

use std::ops::Range;

use super::ExprError;
use super::ast::{Ast, Node, Operator};
use crate::diagnostic::Message;

/// The longest expression, in bytes: a condition that a person can read is far shorter.
const EXPRESSION_BYTES_MAX: usize = 16 * 1024;
/// The deepest nesting, so that no input can exhaust the stack.
const DEPTH_MAX: usize = 64;

/// Reads an expression.
pub fn parse(source: &str) -> Result<Ast, Vec<ExprError>> {
    if source.len() > EXPRESSION_BYTES_MAX {
        let (en, zh) = ("the expression is longer than 16 KiB", "表达式超过 16 KiB");
        return Err(vec![error("expression-too-long", 0..source.len(), en, zh)]);
    }
    let tokens = tokens(source).map_err(|error| vec![error])?;
    let mut parser = Parser { tokens, at: 0, end: source.len(), depth: 0 };
    let ast = parser.expression(0).map_err(|error| vec![error])?;
    match parser.peek() {
        None => Ok(ast),
        Some(_) => Err(vec![parser.unexpected("an operator", "运算符")]),
    }
}

fn error(code: &'static str, span: Range<usize>, en: &str, zh: &str) -> ExprError {
    ExprError { code, span, message: Message::new(en, zh), hint: None }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Int(i64),
    Double(f64),
    Str(String),
    /// A name, with its dots.
    Name(String),
    Mark(&'static str),
}

/// Longer marks first, so that `<=` is not read as `<`.
const MARKS: [&str; 22] = [
    "&&", "||", "==", "!=", "<=", ">=", "??", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":",
    "(", ")", "[", "]", ",",
];

type Spanned = (Token, Range<usize>);

fn tokens(source: &str) -> Result<Vec<Spanned>, ExprError> {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'0'..=b'9' => {
                let (token, end) = number(source, at)?;
                tokens.push((token, start..end));
                at = end;
            }
            quote @ (b'\'' | b'"') => {
                let (text, end) = string(source, at, quote)?;
                tokens.push((Token::Str(text), start..end));
                at = end;
            }
            byte if is_name_start(byte) => {
                at += name_len(&bytes[at..]);
                tokens.push((Token::Name(source[start..at].to_owned()), start..at));
            }
            b'.' if bytes.get(at + 1).is_some_and(|byte| is_name_start(*byte)) => {
                // A method after a closing bracket or a string: the name keeps its dot.
                at += 1 + name_len(&bytes[at + 1..]);
                tokens.push((Token::Name(source[start..at].to_owned()), start..at));
            }
            _ => match MARKS.iter().find(|mark| source[at..].starts_with(**mark)) {
                Some(mark) => {
                    at += mark.len();
                    tokens.push((Token::Mark(mark), start..at));
                }
                None => {
                    let character = source[at..].chars().next().unwrap_or(' ');
                    let span = at..at + character.len_utf8();
                    return Err(ExprError {
                        code: "unexpected-character",
                        span,
                        message: Message::new(
                            format!("unexpected character {character:?}"),
                            format!("意外的字符 {character:?}"),
                        ),
                        hint: mark_hint(character),
                    });
                }
            },
        }
    }
    Ok(tokens)
}

/// The ASCII mark that was meant where an input method wrote a wide one.
fn mark_hint(character: char) -> Option<Message> {
    let narrow = match character {
        '(' => "(",
        ')' => ")",
        ',' => ",",
        '>' => ">",
        '<' => "<",
        '‘' | '’' | '“' | '”' => "'",
        '&' => "&&",
        '|' => "||",
        '=' => "==",
        _ => return None,
    };
    Some(Message::new(format!("write `{narrow}`"), format!("请写半角 `{narrow}`")))
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// A name and its dotted parts; a part may start with a digit only after a letter before it.
fn name_len(bytes: &[u8]) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut at = bytes.iter().take_while(|byte| is_part(byte)).count();
    while bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(|b| is_name_start(*b)) {
        at += 1;
        at += bytes[at..].iter().take_while(|byte| is_part(byte)).count();
    }
    at
}

fn number(source: &str, start: usize) -> Result<(Token, usize), ExprError> {
    let bytes = source.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = start + digits(start);
    let mut is_double = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        is_double = true;
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            is_double = true;
            end += 1 + sign + exponent;
        }
    }
    if bytes.get(end).is_some_and(|byte| is_name_start(*byte)) {
        let tail = name_len(&bytes[end..]);
        let mut error = error(
            "bad-number",
            start..end + tail,
            "a number cannot be followed by letters",
            "数字后面不能紧跟字母",
        );
        error.hint = Some(Message::new(
            "write yuan(5000) or duration('24h') for a number with a unit",
            "带单位的数请写成 yuan(5000) 或 duration('24h')",
        ));
        return Err(error);
    }
    let text = &source[start..end];
    let token = if is_double {
        text.parse().ok().filter(|value: &f64| value.is_finite()).map(Token::Double)
    } else {
        text.parse().ok().map(Token::Int)
    };
    match token {
        Some(token) => Ok((token, end)),
        None => Err(error(
            "bad-number",
            start..end,
            "the number does not fit 64 bits",
            "该数超出 64 位",
        )),
    }
}

fn string(source: &str, start: usize, quote: u8) -> Result<(String, usize), ExprError> {
    let mut text = String::new();
    let mut characters = source[start + 1..].char_indices();
    while let Some((offset, character)) = characters.next() {
        let at = start + 1 + offset;
        if character == char::from(quote) {
            return Ok((text, at + 1));
        }
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some((_, 'n')) => text.push('\n'),
            Some((_, 'r')) => text.push('\r'),
            Some((_, 't')) => text.push('\t'),
            Some((_, escaped @ ('\\' | '\'' | '"'))) => text.push(escaped),
            _ => {
                let span = at..(at + 2).min(source.len());
                return Err(error("bad-escape", at..at + 1, "unknown escape", "未知的转义"))
                    .map_err(|error| ExprError { span: clamp(source, span), ..error });
            }
        }
    }
    let (en, zh) = ("the string is not closed", "字符串没有结束");
    Err(error("open-string", start..source.len(), en, zh))
}

/// A span that ends on a character boundary.
fn clamp(source: &str, span: Range<usize>) -> Range<usize> {
    let end = (span.start + 1..=span.end).rev().find(|end| source.is_char_boundary(*end));
    span.start..end.unwrap_or(source.len())
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

    fn expect(&mut self, mark: &'static str) -> Result<(), ExprError> {
        if self.take(mark) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{mark}`"), &format!("`{mark}`")))
    }

    fn unexpected(&self, en: &str, zh: &str) -> ExprError {
        let (code, found, found_zh) = match self.peek() {
            Some(_) => ("unexpected-token", "here", "此处"),
            None => ("unexpected-end", "at the end", "结尾处"),
        };
        error(
            code,
            self.span(),
            &format!("expected {en} {found}"),
            &format!("{found_zh}应为{zh}"),
        )
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Result<Ast, ExprError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let (en, zh) = ("the expression is nested too deeply", "表达式嵌套过深");
            return Err(error("too-deep", self.span(), en, zh));
        }
        let mut left = self.prefix()?;
        let mut length = 0;
        while let Some((operator, binds)) = self.operator().filter(|(_, binds)| *binds >= least) {
            // A chain becomes a tree that leans left: as deep as it is long.
            length += 1;
            if length > DEPTH_MAX {
                let (en, zh) = ("too many operators in one chain", "运算符过多");
                return Err(error("too-deep", self.span(), en, zh));
            }
            self.at += 1;
            let right = self.expression(binds + 1)?;
            let span = left.span.start..right.span.end;
            left = Ast { node: Node::Binary(operator, Box::new(left), Box::new(right)), span };
        }
        if least <= 1 && self.take("?") {
            let yes = self.expression(0)?;
            self.expect(":")?;
            let no = self.expression(0)?;
            let span = left.span.start..no.span.end;
            left = Ast { node: Node::If(Box::new(left), Box::new(yes), Box::new(no)), span };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<(Operator, u8)> {
        let operator = match self.peek()? {
            Token::Name(name) if name == "in" => Operator::In,
            Token::Mark("??") => Operator::Otherwise,
            Token::Mark("||") => Operator::Or,
            Token::Mark("&&") => Operator::And,
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
        Some((operator, operator.spelling().1))
    }

    fn prefix(&mut self) -> Result<Ast, ExprError> {
        let start = self.span().start;
        let mut marks: Vec<bool> = Vec::new();
        while matches!(self.peek(), Some(Token::Mark("!" | "-"))) {
            marks.push(matches!(self.peek(), Some(Token::Mark("-"))));
            self.at += 1;
            if marks.len() > DEPTH_MAX {
                let (en, zh) = ("too many signs", "符号过多");
                return Err(error("too-deep", self.span(), en, zh));
            }
        }
        let mut ast = self.postfix()?;
        for (nth, negate) in marks.into_iter().rev().enumerate() {
            let span = start..ast.span.end;
            let node = match ast.node {
                Node::Int(value) if negate && nth == 0 && value >= 0 => Node::Int(-value),
                Node::Double(value) if negate && nth == 0 => Node::Double(-value),
                node if negate => Node::Negate(Box::new(Ast { node, span: ast.span.clone() })),
                node => Node::Not(Box::new(Ast { node, span: ast.span.clone() })),
            };
            ast = Ast { node, span };
        }
        Ok(ast)
    }

    fn postfix(&mut self) -> Result<Ast, ExprError> {
        let mut ast = self.primary()?;
        while let Some(Token::Name(name)) = self.peek() {
            let Some(method) = name.strip_prefix('.').map(str::to_owned) else { break };
            self.at += 1;
            self.expect("(")?;
            let items = self.items(")")?;
            let span = ast.span.start..self.tokens[self.at - 1].1.end;
            ast = Ast { node: Node::Method(Box::new(ast), method, items), span };
        }
        Ok(ast)
    }

    fn primary(&mut self) -> Result<Ast, ExprError> {
        let span = self.span();
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected("a value", "一个值"));
        };
        self.at += 1;
        let node = match token {
            Token::Int(value) => Node::Int(value),
            Token::Double(value) => Node::Double(value),
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
        let end = self.tokens[self.at - 1].1.end;
        Ok(Ast { node, span: span.start..end })
    }

    /// A name, a call, or a method on a dotted name.
    fn named(&mut self, name: String, span: Range<usize>) -> Result<Ast, ExprError> {
        if !self.take("(") {
            return Ok(Ast { node: Node::Name(name), span });
        }
        let items = self.items(")")?;
        let whole = span.start..self.tokens[self.at - 1].1.end;
        let node = match name.rsplit_once('.') {
            Some((on, method)) => {
                let on_span = span.start..span.start + on.len();
                let on = Ast { node: Node::Name(on.to_owned()), span: on_span };
                Node::Method(Box::new(on), method.to_owned(), items)
            }
            None => Node::Call(name, items),
        };
        Ok(Ast { node, span: whole })
    }

    fn items(&mut self, close: &'static str) -> Result<Vec<Ast>, ExprError> {
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
