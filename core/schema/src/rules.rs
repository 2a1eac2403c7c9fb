//! CEL rules (`x-kubernetes-validations`).

use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::sync::LazyLock;

use kube_cel::KubeCelExt;
use kube_cel::cel::{self, Context};
use serde_json::Value;
use wire::FieldError;

use crate::convert::{some_fields, typed};
use crate::node::{Kind, Schema};
use crate::program::{Program, SPENT, TOO_DEAR, is_spent, with_counter};

/// A compiled rule.
pub(crate) struct Rule {
    text: Box<str>,
    program: Program,
    message: Option<Box<str>>,
    message_program: Option<Program>,
    reason: Option<Box<str>>,
    field_path: Option<Box<str>>,
    optional_old: bool,
}

// === impl Rule ===

impl Rule {
    /// Compiles one entry of `x-kubernetes-validations`.
    pub(crate) fn compile(rule: &Value) -> Result<Self, String> {
        let text = |key: &str| rule[key].as_str().filter(|text| !text.is_empty());
        let source = text("rule").ok_or_else(|| "rule is not specified".to_owned())?;
        let program = compile(source)?;
        let message_program = text("messageExpression").map(compile).transpose()?;
        Ok(Self {
            text: source.into(),
            program,
            message: text("message").map(Box::from),
            message_program,
            reason: text("reason").map(Box::from),
            field_path: text("fieldPath").map(Box::from),
            optional_old: rule["optionalOldSelf"].as_bool().unwrap_or_default(),
        })
    }

    /// The words for a failure, as given, computed, or the rule itself.
    fn words(&self, context: &Context<'_>, size: usize) -> String {
        if let Some(program) = &self.message_program
            && let Ok(cel::Value::String(text)) = program.run(context, size)
            && !text.trim().is_empty()
        {
            return text.trim().to_owned();
        }
        self.message
            .as_deref()
            .map_or_else(|| format!("failed rule: {}", self.text), |text| text.trim().to_owned())
    }

    fn loops(&self) -> bool {
        self.program.loops() || self.message_program.as_ref().is_some_and(Program::loops)
    }

    fn error(&self, path: &str, kind: Kind, detail: String) -> FieldError {
        let path = format!("{path}{}", self.field_path.as_deref().unwrap_or_default());
        match self.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(path, detail),
            Some("FieldValueRequired") => FieldError::required(path, detail),
            Some("FieldValueDuplicate") => {
                FieldError { detail, ..FieldError::duplicate(path, type_name(kind)) }
            }
            _ => FieldError::invalid(path, type_name(kind), detail),
        }
    }
}

impl Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Evaluates the rules of one node. Rules that compare with the value before are skipped if there is none; a
/// failure that was there before and does not compare is let pass, so that old objects can still be changed.
pub(crate) fn check(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    path: &dyn Fn() -> String,
    errors: &mut Vec<FieldError>,
) {
    let Some(rules) = &schema.rules else { return };
    if is_spent() {
        return;
    }
    let mut context = library().new_inner_scope();
    let fields = used_fields(rules);
    let convert = |value: &Value| match (&fields, value) {
        (Some(fields), Value::Object(object)) => some_fields(schema, object, fields),
        _ => typed(schema, value),
    };
    context.add_variable_from_value("self", convert(value));
    context.add_variable_from_value("oldSelf", old.map_or(cel::Value::Null, convert));
    let looping = rules.iter().any(Rule::loops);
    let size = if looping { serde_json::to_vec(value).map_or(0, |bytes| bytes.len()) } else { 0 };
    for rule in rules.iter() {
        if rule.program.compares() && old.is_none() && !rule.optional_old {
            continue;
        }
        let unchanged = !rule.program.compares() && old == Some(value);
        let detail = match rule.program.run(&context, size) {
            Ok(cel::Value::Bool(true)) => continue,
            Ok(cel::Value::Bool(false)) => rule.words(&context, size),
            Err(error) if error == SPENT => {
                errors.push(rule.error(&path(), schema.kind, error));
                return;
            }
            Err(error) if error == TOO_DEAR => format!("{TOO_DEAR} for rule: {}", rule.text),
            Ok(_) => "rule evaluation error: the result is no truth value".to_owned(),
            Err(error) => format!("rule evaluation error: {error}"),
        };
        if !unchanged {
            errors.push(rule.error(&path(), schema.kind, detail));
        }
    }
}

/// The functions that rules can call.
fn library() -> &'static Context<'static> {
    static LIBRARY: LazyLock<Context<'static>> =
        LazyLock::new(|| with_counter(Context::default().with_all()));
    &LIBRARY
}

/// The fields that the rules look at, if none takes the value whole: what nobody looks at is not converted.
fn used_fields(rules: &[Rule]) -> Option<BTreeSet<&str>> {
    let programs = rules.iter().flat_map(|rule| std::iter::once(&rule.program).chain(&rule.message_program));
    let mut out = BTreeSet::new();
    for program in programs {
        out.extend(program.fields()?.iter().map(String::as_str));
    }
    Some(out)
}

/// Compiles an expression, with the words of Kubernetes if it cannot be.
fn compile(text: &str) -> Result<Program, String> {
    Program::compile(text).map_err(|error| format!("compilation failed: {error}"))
}

/// A type's name as messages give it.
pub(crate) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Any => "",
        Kind::Object => "object",
        Kind::Array => "array",
        Kind::String | Kind::Quantity => "string",
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::IntOrString => "integer,string",
    }
}
