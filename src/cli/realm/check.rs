//! `realm check`: a definition, offline. Renders what would be sent and judges recorded answers.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::output::{Output, note, print};
use crate::cli::{Exit, document};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::json::Issue;
use crate::realm::{Definition, Expiry, Facts, Fetched, Input, Origin, RawResponse, Recipe};
use crate::secret::{Credentials, SecretId};
use crate::service::{RealmEdit, ServiceError};
use crate::token::TokenText;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 a token came out (or no answers were given and the definition is right), 1 an answer was judged a \
    failure, or an answer or a value is missing, 2 the definition is wrong.\n\n\
    With --output json it prints {\"requests\": [{\"method\", \"url\", \"headers\", \"body\"}], \"token\", \
    \"expires_in\" (milliseconds), \"never_expires\", \"outputs\", \"save\", \"error\": {\"class\", \"code\", \"message\"}}."
)]
pub(super) struct CheckArgs {
    /// The definition: a realm, or its config alone; JSON, YAML or TOML. - is standard input.
    #[arg(value_name = "FILE")]
    file: String,
    /// The secret's values: {"name": "value"}, or {"inputs": {…}, "tokens": {alias: token},
    /// "grant": {saved values}}.
    #[arg(long, value_name = "FILE")]
    credentials: Option<String>,
    /// A recorded answer {"status", "headers", "body"}; once for each request.
    #[arg(long, value_name = "FILE")]
    answer: Vec<String>,
    /// The time, in seconds since 1970.
    #[arg(long, value_name = "EPOCH_SECONDS")]
    now: Option<i64>,
    /// The value of uuid.
    #[arg(long)]
    uuid: Option<String>,
    /// The value of nonce.
    #[arg(long)]
    nonce: Option<String>,
    /// Render the requests of a forced refresh (policy.force).
    #[arg(long)]
    forced: bool,
    /// Print values as they are; without it secrets are masked.
    #[arg(long)]
    show_secrets: bool,
}

/// Runs the command.
pub(super) fn run(args: &CheckArgs, output: Output) -> anyhow::Result<()> {
    let document = match document::read_unnamed(&args.file) {
        Ok(document) => document,
        Err(why) => return Err(wrong(output, &args.file, &[Issue::at("", why)])?.into()),
    };
    let definition = match read_definition(&document) {
        Ok(definition) => definition,
        Err(issues) => return Err(wrong(output, &args.file, &issues)?.into()),
    };
    for warning in definition.warnings() {
        note(&format!("warning: {warning}"));
    }
    let Some(recipe) = definition.recipe() else {
        let issue = Issue::at("/config", "the realm is fixed: there is nothing to fetch");
        return Err(wrong(output, &args.file, &[issue])?.into());
    };
    let needed = needed(&definition, recipe);
    if args.credentials.is_none() && args.answer.is_empty() && !needed.is_empty() {
        note(&format!(
            "the definition is right; to see its requests give --credentials with {}",
            needed.join(", ")
        ));
        return print_report(output, &without_requests(&Value::Null));
    }
    let id = document
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or("realm");
    let facts = read_facts(args, recipe, id)?;
    note_unused(&definition, recipe, &facts);
    let responses = args.answer.iter().map(|file| {
        RawResponse::recorded(&document::read(file)?)
            .map_err(|why| Exit::failed(format!("{file}: {why}")).into())
    });
    let responses = responses.collect::<anyhow::Result<Vec<_>>>()?;
    let given = responses.len();
    let rehearsal = recipe.rehearse(facts, responses, args.show_secrets);
    print_report(output, &rehearsal.report(args.show_secrets))?;
    let asked = rehearsal.requests.len();
    match rehearsal.outcome {
        Ok(Some(fetched)) => {
            note_doubts(recipe, &fetched, given, asked);
            Ok(())
        }
        Ok(None) if given > 0 => Err(Exit::failed(format!(
            "request {asked} has no --answer: no token came out"
        ))
        .into()),
        Ok(None) => Ok(()),
        Err(failure) => Err(Exit::failed(failure.to_string()).into()),
    }
}

/// Warns of given values that the definition has no use for.
fn note_unused(definition: &Definition, recipe: &Recipe, facts: &Facts) {
    let inputs = definition
        .undeclared(&facts.inputs)
        .into_iter()
        .map(|name| format!("no input {name}"));
    let unknown = facts
        .tokens
        .keys()
        .filter(|alias| recipe.aliases().all(|known| known != alias.as_str()))
        .map(|alias| format!("no depends_on.{alias}"));
    for nothing in inputs.chain(unknown) {
        note(&format!(
            "warning: the definition has {nothing}: this value is not used"
        ));
    }
}

/// Warns of what is odd about an answer that brought a token.
fn note_doubts(recipe: &Recipe, fetched: &Fetched, given: usize, asked: usize) {
    if fetched.expiry == Expiry::Untold && !recipe.tells_no_expiry() {
        note("warning: no expiry was found at the place the definition names; assuming 300 s");
    }
    if let Some(doubt) = fetched.expiry.doubt() {
        note(&format!("warning: {doubt}"));
    }
    if given > asked {
        note(&format!(
            "warning: {given} answers for {asked} requests: the rest is not used"
        ));
    }
}

/// The values without which no request can be made.
fn needed(definition: &Definition, recipe: &Recipe) -> Vec<String> {
    let inputs = definition
        .missing(|_| false)
        .into_iter()
        .map(|reference| reference.name);
    inputs
        .chain(recipe.aliases().map(|alias| format!("tokens.{alias}")))
        .collect()
}

fn without_requests(error: &Value) -> Value {
    json!({"requests": [], "token": null, "expires_in": null, "never_expires": false, "outputs": {}, "save": {},
        "error": error})
}

/// The definition of a realm, or of a config alone.
fn read_definition(document: &Value) -> Result<Definition, Vec<Issue>> {
    let is_realm = ["id", "config", "logic_code"]
        .iter()
        .any(|name| document.get(name).is_some());
    if is_realm {
        // As it would be read when it is applied; the id may be missing here.
        let mut realm = document.clone();
        if let Some(members) = realm.as_object_mut() {
            members.entry("id").or_insert_with(|| "realm".into());
        }
        if let Err(ServiceError::Invalid(issues)) = RealmEdit::read(&realm) {
            return Err(issues);
        }
        let logic_code = document.get("logic_code").and_then(Value::as_str);
        return Definition::read(document.get("config"), logic_code);
    }
    Definition::read(Some(document), None)
}

fn wrong(output: Output, file: &str, issues: &[Issue]) -> anyhow::Result<Exit> {
    let lines: Vec<_> = issues.iter().map(Issue::to_string).collect();
    if output == Output::Json {
        let message = lines.join("; ");
        let error =
            json!({"class": "definition", "code": null, "message": message, "issues": issues});
        print_report(output, &without_requests(&error))?;
    }
    Ok(Exit::usage(format!("{file}:\n  {}", lines.join("\n  "))))
}

fn read_facts(args: &CheckArgs, recipe: &Recipe, id: &str) -> anyhow::Result<Facts> {
    let document = args
        .credentials
        .as_deref()
        .map(document::read)
        .transpose()?
        .unwrap_or_else(|| json!({}));
    let is_split = document.get("inputs").is_some_and(Value::is_object)
        || ["tokens", "grant"]
            .iter()
            .any(|name| document.get(name).is_some_and(Value::is_object));
    let part = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let inputs = if is_split {
        part("inputs")
    } else {
        document.as_object().cloned().unwrap_or_default()
    };
    let (tokens, grant) = if is_split {
        (part("tokens"), part("grant"))
    } else {
        (Map::new(), Map::new())
    };
    let now = args.now.map_or_else(
        || SystemClock::default().now(),
        |seconds| Timestamp::from_epoch_ms(seconds.saturating_mul(1000)),
    );
    let has_saved = grant.iter().any(|(_, value)| !value.is_null());
    let mut values: Credentials = inputs.iter().filter_map(named_text).collect();
    for (name, value) in grant.iter().filter_map(named_text) {
        values.set(name, value);
    }
    read_files(recipe, &mut values)?;
    Ok(Facts {
        secret: SecretId::new(id, "KEY"),
        inputs: values,
        tokens: tokens
            .iter()
            .filter_map(named_text)
            .map(|(name, text)| (name, TokenText::from(text)))
            .collect(),
        has_saved,
        forced: args.forced,
        now,
        uuid: args
            .uuid
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        nonce: args
            .nonce
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()),
    })
}

fn named_text((name, value): (&String, &Value)) -> Option<(String, String)> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    };
    Some((name.clone(), text))
}

/// Here the value of a `file` input is its content, or `@PATH`.
fn read_files(recipe: &Recipe, values: &mut Credentials) -> anyhow::Result<()> {
    let names: Vec<String> = recipe
        .inputs_from(Origin::File)
        .map(|input: &Input| input.name.clone())
        .collect();
    for name in names {
        if let Some(path) = values
            .get(&name)
            .and_then(|value| value.strip_prefix('@'))
            .map(str::to_owned)
        {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Exit::failed(format!("{path}: {error}")))?;
            values.set(name, text.trim_end());
        }
    }
    Ok(())
}

fn print_report(output: Output, report: &Value) -> anyhow::Result<()> {
    if output == Output::Json {
        return print(&serde_json::to_string_pretty(report)?);
    }
    let mut lines = Vec::new();
    for request in report["requests"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{} {}",
            text(&request["method"]),
            text(&request["url"])
        ));
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            let values = value
                .as_array()
                .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
            lines.extend(
                values
                    .iter()
                    .map(|value| format!("{name}: {}", text(value))),
            );
        }
        if let Some(body) = request["body"].as_str() {
            lines.push(String::new());
            lines.push(body.to_owned());
        }
        lines.push(String::new());
    }
    for name in ["token", "expires_in", "outputs", "save"] {
        if !report[name].is_null() && report[name] != json!({}) {
            lines.push(format!("{name}: {}", text(&report[name])));
        }
    }
    if let Some(class) = report["error"]["class"].as_str() {
        lines.push(format!("error class: {class}"));
    }
    if lines.is_empty() {
        Ok(())
    } else {
        print(lines.join("\n").trim_end())
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
