//! What an expression may look like, checked before it is parsed.
//!
//! `MiniJinja`'s parser recurses: a few kilobytes of `-` overflow the stack. And it looks filters
//! up only when an expression runs; ours are known when it is saved.

use super::filter_names;
use crate::json::suggestion;

/// The longest expression, in bytes.
const LONGEST: usize = 1 << 10;
/// Brackets within brackets.
const DEEPEST: usize = 16;
/// Operators and filters in one expression.
const MOST_OPERATORS: usize = 100;

/// Checks an expression's size, nesting, operators and filters; answers the filter at its end if
/// that makes bytes.
///
/// # Errors
/// What is not allowed, for the author.
pub(super) fn check(source: &str) -> Result<Option<&'static str>, String> {
    if source.is_empty() {
        return Err("{{ }} has no expression in it".to_owned());
    }
    if source.len() > LONGEST {
        return Err(format!(
            "an expression must not be longer than {LONGEST} bytes: use vars"
        ));
    }
    let mut state = State::default();
    let mut rest = source;
    while !rest.is_empty() {
        let token =
            next(rest).ok_or_else(|| format!("{{{{ {source} }}}}: a text has no closing quote"))?;
        state
            .take(token)
            .map_err(|wrong| format!("{{{{ {source} }}}}: {wrong}"))?;
        rest = &rest[token.len()..];
    }
    state
        .demand_argument("")
        .map_err(|wrong| format!("{{{{ {source} }}}}: {wrong}"))?;
    Ok(state.made_bytes)
}

/// Where the `}}` of an expression is: the first outside of its texts.
///
/// # Errors
/// There is none.
pub(super) fn end_of_expression(inside: &str) -> Result<usize, String> {
    let mut at = 0;
    while let Some(rest) = inside.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("}}") {
            return Ok(at);
        }
        let quote = || rest.chars().next().unwrap_or_default();
        at += next(rest)
            .ok_or_else(|| {
                format!(
                    "{{{{ without its }}}}: the text that begins with {} has no end",
                    quote()
                )
            })?
            .len();
    }
    Err("{{ without its }}; a brace that is meant as text is written {{ '{' }}".to_owned())
}

/// What was seen last: filters follow a bar, calls follow names.
#[derive(Default, PartialEq)]
enum Before {
    #[default]
    Nothing,
    Bar,
    Dot,
    Filter,
    Name,
    Minus,
    Other,
}

#[derive(Default)]
struct State {
    depth: usize,
    operators: usize,
    before: Before,
    /// The filter that was just named, if it needs an argument.
    open_filter: Option<&'static str>,
    /// The filter whose bytes the expression would be, if it ended here.
    made_bytes: Option<&'static str>,
}

impl State {
    fn take(&mut self, token: &str) -> Result<(), String> {
        let first = token.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            return Ok(());
        }
        self.demand_argument(token)?;
        let before = std::mem::replace(&mut self.before, Before::Other);
        if self.depth == 0 && !(token == "(" && before == Before::Filter) {
            self.made_bytes = None;
        }
        if first.is_alphabetic() || first == '_' {
            return self.word(token, &before);
        }
        match first {
            '(' if matches!(before, Before::Name) => {
                return Err(
                    "there are no functions: a filter is written value | filter(argument)"
                        .to_owned(),
                );
            }
            '(' | '[' => self.depth += 1,
            ')' | ']' => self.depth = self.depth.saturating_sub(1),
            ':' if before == Before::Filter => {
                return Err(
                    "a filter's argument stands in brackets: value | filter(argument)".to_owned(),
                );
            }
            '{' | '}' => return Err("braces are not part of the language".to_owned()),
            '*' | '/' | '%' => return Err(format!("{first} is not part of the language")),
            '-' if before == Before::Minus => return Err("two minus signs in a row".to_owned()),
            '|' => self.before = Before::Bar,
            '.' => self.before = Before::Dot,
            '-' => self.before = Before::Minus,
            _ => {}
        }
        if matches!(
            first,
            '|' | '+' | '-' | '~' | '=' | '<' | '>' | '!' | '[' | '.'
        ) {
            self.operators += 1;
        }
        self.demand_small()
    }

    fn word(&mut self, word: &str, before: &Before) -> Result<(), String> {
        match before {
            Before::Bar if !filter_names::NAMES.contains(&word) => {
                return Err(format!(
                    "there is no filter {word}{}",
                    suggestion(word, filter_names::NAMES.iter().copied())
                ));
            }
            Before::Bar => {
                self.before = Before::Filter;
                let among = |filters: &[&'static str]| {
                    filters.iter().copied().find(|filter| *filter == word)
                };
                self.open_filter = among(filter_names::WITH_ARGUMENT);
                if self.depth == 0 {
                    self.made_bytes = among(filter_names::MAKING_BYTES);
                }
            }
            Before::Dot => self.before = Before::Name,
            Before::Nothing | Before::Filter | Before::Name | Before::Minus | Before::Other => {
                if matches!(word, "is" | "for") {
                    return Err(format!("{word} is not part of the language"));
                }
                let is_operator = matches!(word, "and" | "or" | "not" | "if" | "else" | "in");
                self.operators += usize::from(is_operator);
                self.before = if is_operator {
                    Before::Other
                } else {
                    Before::Name
                };
            }
        }
        self.demand_small()
    }

    /// A filter that needs an argument is followed by a bracket.
    fn demand_argument(&mut self, token: &str) -> Result<(), String> {
        match self.open_filter.take() {
            Some(filter) if !matches!(token, "(" | ":") => Err(format!(
                "the filter {filter} needs an argument: {filter}(…)"
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn demand_small(&self) -> Result<(), String> {
        if self.depth > DEEPEST || self.operators > MOST_OPERATORS {
            return Err(format!(
                "has more than {DEEPEST} brackets within brackets or {MOST_OPERATORS} operators: use vars"
            ));
        }
        Ok(())
    }
}

/// The first token of a text that is not empty; `None` for a text without closing quote.
fn next(rest: &str) -> Option<&str> {
    let first = rest.chars().next()?;
    if first == '\'' || first == '"' {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            if c == first && !escaped {
                return Some(&rest[..at + c.len_utf8()]);
            }
            escaped = c == '\\' && !escaped;
        }
        return None;
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let end = if is_word(first) {
        rest.find(|c| !is_word(c)).unwrap_or(rest.len())
    } else if first.is_whitespace() {
        rest.find(|c: char| !c.is_whitespace())
            .unwrap_or(rest.len())
    } else {
        first.len_utf8()
    };
    Some(&rest[..end])
}

/// A response that an expression names, `steps[0].body`, and the first member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::realm) struct StepUse {
    /// From 0.
    pub(in crate::realm) index: usize,
    /// `body`, `text`, …; `None` where the expression does not go on with a name.
    pub(in crate::realm) member: Option<String>,
}

/// The tokens of a checked expression, blanks too.
fn tokens(source: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(token) = Some(rest).filter(|rest| !rest.is_empty()).and_then(next) {
        rest = &rest[token.len()..];
        tokens.push(token);
    }
    tokens
}

/// A checked expression in which each operand of `~` is made text by our rules: `MiniJinja` would
/// join `True` and `None`.
pub(super) fn with_joined_texts(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    // By depth of brackets: whether the operand that is being written is one of `~`.
    let mut joins = vec![false];
    let mut before = "";
    for token in tokens(source) {
        let is_sign = token == "-" && before == "~";
        if !token.starts_with(char::is_whitespace) {
            before = token;
        }
        if is_sign {
            // A filter would take the number from its sign.
            joins.pop();
            joins.push(false);
        }
        let ends_operand = matches!(
            token,
            "~" | "+"
                | "-"
                | "="
                | "!"
                | "<"
                | ">"
                | ","
                | ")"
                | "]"
                | "and"
                | "or"
                | "not"
                | "if"
                | "else"
                | "in"
        );
        if token == "~" || ends_operand && joins.last() == Some(&true) {
            out.push_str(TO_TEXT);
        }
        match token {
            "(" | "[" => joins.push(false),
            ")" | "]" => drop(joins.pop()),
            _ => {}
        }
        if let Some(joining) = joins
            .last_mut()
            .filter(|_| ends_operand && !matches!(token, ")" | "]"))
        {
            *joining = token == "~";
        }
        out.push_str(token);
    }
    if joins.last() == Some(&true) {
        out.push_str(TO_TEXT);
    }
    out
}

/// Makes an operand text.
const TO_TEXT: &str = "|string ";

/// The responses that a checked expression names with an index that is written out.
pub(super) fn steps_used(source: &str) -> Vec<StepUse> {
    let tokens: Vec<_> = tokens(source)
        .into_iter()
        .filter(|token| !token.starts_with(char::is_whitespace))
        .collect();
    let uses = tokens.iter().enumerate().filter_map(|(at, token)| {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        if *token != "steps" || before == Some(&".") {
            return None;
        }
        let ["[", index, "]", after @ ..] = tokens.get(at + 1..)? else {
            return None;
        };
        let member = match after {
            [".", name, ..] => Some((*name).to_owned()),
            ["[", quoted, "]", ..] if quoted.starts_with(['\'', '"']) => {
                Some(quoted.trim_matches(['\'', '"']).to_owned())
            }
            _ => None,
        };
        Some(StepUse {
            index: index.parse().ok()?,
            member,
        })
    });
    uses.collect()
}

/// What an expression costs, as far as can be told from how it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::realm) struct Cost {
    /// How many filters it has.
    pub(in crate::realm) filters: usize,
    /// How many of them make what nothing can be read off.
    pub(in crate::realm) digests: usize,
    /// How many of them may use a private key.
    pub(in crate::realm) key_operations: usize,
    /// How many operators that read whole values it has, `~` and comparisons among them.
    pub(in crate::realm) operators: usize,
}

impl Cost {
    /// Of both.
    pub(in crate::realm) fn plus(self, other: Self) -> Self {
        Self {
            filters: self.filters + other.filters,
            digests: self.digests + other.digests,
            key_operations: self.key_operations + other.key_operations,
            operators: self.operators + other.operators,
        }
    }
}

/// The cost of a checked expression.
pub(super) fn cost(source: &str) -> Cost {
    let mut cost = Cost::default();
    let mut before = "";
    for token in tokens(source) {
        if token.starts_with(char::is_whitespace) {
            continue;
        }
        if before == "|" {
            cost.filters += 1;
            cost.digests += usize::from(filter_names::HIDING.contains(&token));
            cost.key_operations += usize::from(filter_names::WITH_KEYS.contains(&token));
        } else if matches!(token, "~" | "=" | "<" | ">" | "!" | "in" | "+") {
            cost.operators += 1;
        }
        before = token;
    }
    cost
}
