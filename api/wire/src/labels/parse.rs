//! The string form of label selectors: a lexer and a parser with Kubernetes' error texts.

use super::{Operator, Requirement};
use crate::field::{self, FieldError};
use crate::names;

const BINARY: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    End,
    Word(String),
    Symbol(&'static str),
}

/// Reads all requirements, in the order written.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { tokens: lex(text), at: 0 };
    let mut found = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(found),
            Token::Word(_) | Token::Symbol("!") => {}
            Token::Symbol(other) => {
                return Err(format!("found '{other}', expected: !, identifier, or 'end of string'"));
            }
        }
        found.push(parser.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?);
        match parser.next() {
            Token::End => return Ok(found),
            Token::Symbol(",") => match parser.peek() {
                Token::Word(_) | Token::Symbol("!") => {}
                other => return Err(format!("found '{}', expected: identifier after ','", literal(&other))),
            },
            other => return Err(format!("found '{}', expected: ',' or 'end of string'", literal(&other))),
        }
    }
}

/// Checks one requirement and sorts its values.
pub(super) fn requirement(
    key: String,
    operator: Operator,
    mut values: Vec<String>,
) -> Result<Requirement, String> {
    values.sort_unstable();
    values.dedup();
    let mut errors = Vec::new();
    check_key(&key, "key").unwrap_or_else(|e| errors.push(e));
    let shown = || serde_json::Value::from(values.clone());
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            let why = "for 'in', 'notin' operators, values set can't be empty";
            errors.push(FieldError::invalid("values", shown(), why));
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            let why = "values set must be empty for exists and does not exist";
            errors.push(FieldError::invalid("values", shown(), why));
        }
        Operator::GreaterThan | Operator::LessThan => {
            for (index, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(format!("values[{index}]"), value.as_str(), why));
            }
        }
        _ => {}
    }
    for (index, value) in values.iter().enumerate() {
        let problems = names::label_value(value);
        if !problems.is_empty() {
            errors.push(FieldError::invalid(
                format!("values[{index}][{key}]"),
                value.as_str(),
                problems.join("; "),
            ));
        }
    }
    if errors.is_empty() { Ok(Requirement { key, operator, values }) } else { Err(field::aggregate(&errors)) }
}

fn check_key(key: &str, path: &str) -> Result<(), FieldError> {
    let problems = names::qualified_name(key);
    if problems.is_empty() { Ok(()) } else { Err(FieldError::invalid(path, key, problems.join("; "))) }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens.get(self.at).cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.next();
        let absent = token == Token::Symbol("!");
        if absent {
            token = self.next();
        }
        let Token::Word(key) = token else {
            return Err(format!("found '{}', expected: identifier", literal(&token)));
        };
        check_key(&key, "<nil>").map_err(|e| e.to_string())?;
        if absent || matches!(self.peek(), Token::End | Token::Symbol(",")) {
            let operator = if absent { Operator::DoesNotExist } else { Operator::Exists };
            return requirement(key, operator, Vec::new());
        }
        let token = self.next();
        let (operator, set) = match literal(&token) {
            "in" => (Operator::In, true),
            "notin" => (Operator::NotIn, true),
            "=" | "==" => (Operator::In, false),
            "!=" => (Operator::NotIn, false),
            ">" => (Operator::GreaterThan, false),
            "<" => (Operator::LessThan, false),
            other => return Err(format!("found '{other}', expected: {BINARY}")),
        };
        let values = if set { self.set()? } else { vec![self.exact()?] };
        requirement(key, operator, values)
    }

    /// One value, which may be empty.
    fn exact(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(value) => {
                self.at += 1;
                Ok(value)
            }
            Token::Symbol(other) => Err(format!("found '{other}', expected: identifier")),
        }
    }

    /// `(a,b)`; values may be empty.
    fn set(&mut self) -> Result<Vec<String>, String> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(format!("found '{}' expected: '('", literal(&open)));
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(value) => {
                    values.push(value);
                    match self.next() {
                        Token::Symbol(",") if self.peek() == Token::Symbol(")") => values.push(String::new()),
                        Token::Symbol(",") => {}
                        Token::Symbol(")") => return Ok(values),
                        other => return Err(format!("found '{}', expected: ',' or ')'", literal(&other))),
                    }
                }
                Token::Symbol(",") => {
                    values.push(String::new());
                    if self.peek() == Token::Symbol(")") {
                        self.at += 1;
                        return Ok(values);
                    }
                }
                Token::Symbol(")") => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    return Ok(values);
                }
                other => {
                    return Err(format!("found '{}', expected: ',', ')' or identifier", literal(&other)));
                }
            }
        }
    }
}

fn literal(token: &Token) -> &str {
    match token {
        Token::End => "",
        Token::Word(word) => word,
        Token::Symbol(symbol) => symbol,
    }
}

fn lex(text: &str) -> Vec<Token> {
    let special = |c: char| "=!(),><".contains(c);
    let mut rest = text;
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            tokens.push(Token::End);
            return tokens;
        }
        let symbols = ["!=", "==", "=", "!", "(", ")", ",", ">", "<"];
        if let Some(symbol) = symbols.into_iter().find(|s| rest.starts_with(s)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
            continue;
        }
        let end = rest.find(|c: char| special(c) || " \t\r\n".contains(c)).unwrap_or(rest.len());
        tokens.push(Token::Word(rest[..end].to_owned()));
        rest = &rest[end..];
    }
}
