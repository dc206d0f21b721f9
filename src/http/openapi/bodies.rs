//! What is posted, described as strictly as it is read: what a type of Rust cannot say.

use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{AdditionalProperties, Components, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Object, RefOr, Schema};

use crate::service::{REALM_ANSWER_FIELDS, SECRET_ANSWER_FIELDS};

/// The bodies that are read member by member: an unknown member is refused.
const READ_BY_MEMBER: [&str; 10] = [
    "ApiKeyEditBody",
    "InputEditBody",
    "NewApiKeyBody",
    "NextValuesBody",
    "RealmEditBody",
    "ReportBody",
    "RotationBody",
    "SavedTrialBody",
    "SecretEditBody",
    "TrialBody",
];

/// The names of credentials: `key_1`… where they stand beside other members.
const NUMBERED: &str = "^key_[1-9][0-9]{0,8}$";
/// The names of the operator's choice.
const NAMED: &str = "^[A-Za-z_][A-Za-z0-9_.-]{0,99}$";

/// Says it of each body.
pub(super) fn complete(components: &mut Components) {
    for name in READ_BY_MEMBER {
        change(components, name, |body| {
            body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        });
    }
    change(components, "RealmEditBody", |body| {
        ignore(body, &REALM_ANSWER_FIELDS);
        member(body, "config", describe_config);
    });
    change(components, "SecretEditBody", |body| {
        ignore(body, &SECRET_ANSWER_FIELDS);
        name_credentials(body, &json!({"type": ["string", "null"]}));
    });
    change(components, "NextValuesBody", |body| {
        body.min_properties = Some(1);
        name_credentials(body, &json!({"type": "string", "minLength": 1}));
    });
    change(components, "ReportBody", |body| {
        keyword(body, "oneOf", one_way_to_name_a_token());
        let kinds = SchemaType::from_iter([Type::String, Type::Number, Type::Null]);
        member(body, "code", |code| code.schema_type = kinds);
    });
    change(components, "TrialBody", |body| {
        ignore(body, &["id", "comment"]);
        member(body, "config", describe_config);
        describe_values(body);
    });
    change(components, "SavedTrialBody", |body| {
        ignore(body, &["id", "comment", "config"]);
        describe_values(body);
    });
}

/// The values to try with.
fn describe_values(body: &mut Object) {
    keyword(body, "not", inputs_beside_a_key());
    for name in ["inputs", "grant", "tokens"] {
        member(body, name, take_as_written);
    }
}

fn describe_config(config: &mut Object) {
    keyword(config, "anyOf", forms_of_config());
    config.example = Some(example_of_config());
}

/// The least that each form of a definition has.
fn forms_of_config() -> Value {
    json!([
        {"required": ["url", "method", "token_path"]},
        {"required": ["oauth2"]},
        {"required": ["token"]},
        {"type": "null"},
    ])
}

fn example_of_config() -> Value {
    json!({"url": "https://api.weixin.qq.com/cgi-bin/token", "method": "GET",
        "arguments": [{"name": "appid", "place": "url", "value": "$key_1"}],
        "token_path": "access_token", "expires_in_path": "expires_in"})
}

fn one_way_to_name_a_token() -> Value {
    json!([
        {"required": ["token"], "properties": {"token": {"type": "string"}}},
        {"required": ["version"], "properties": {"version": {"type": "integer"}}},
        {"required": ["fingerprint"], "properties": {"fingerprint": {"type": "string"}}},
    ])
}

fn inputs_beside_a_key() -> Value {
    json!({"required": ["inputs", "key"],
        "properties": {"inputs": {"type": "object"}, "key": {"type": "string"}}})
}

fn change(components: &mut Components, name: &str, change: impl FnOnce(&mut Object)) {
    if let Some(RefOr::T(Schema::Object(body))) = components.schemas.get_mut(name) {
        change(body);
    }
}

fn member(body: &mut Object, name: &str, change: impl FnOnce(&mut Object)) {
    if let Some(RefOr::T(Schema::Object(member))) = body.properties.get_mut(name) {
        change(member);
    }
}

/// A keyword of JSON Schema that the library has no field for; one for each schema, since the
/// library keeps them in no order.
fn keyword(schema: &mut Object, name: &str, value: Value) {
    schema.extensions = Some(Extensions::from_iter([(name, value)]));
}

/// Members of answers, or of a realm, that may be posted too.
fn ignore(body: &mut Object, names: &[&str]) {
    for name in names {
        let ignored = ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some("Ignored: taken from an answer, or from a realm."));
        let ignored = RefOr::T(Schema::Object(ignored.build()));
        body.properties.insert((*name).to_owned(), ignored);
    }
}

fn name_credentials(body: &mut Object, value: &Value) {
    keyword(body, "patternProperties", json!({NUMBERED: value}));
    member(body, "credentials", |credentials| {
        let name = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(NAMED));
        credentials.property_names = Some(Box::new(name.build().into()));
    });
}

/// Numbers and booleans are taken as written, null as nothing.
fn take_as_written(values: &mut Object) {
    let kinds = [Type::String, Type::Number, Type::Boolean, Type::Null];
    let value = ObjectBuilder::new().schema_type(SchemaType::from_iter(kinds));
    let value = RefOr::T(Schema::Object(value.build()));
    values.additional_properties = Some(Box::new(AdditionalProperties::RefOr(value)));
}
