//! A provider's response, read as the realm says.

use std::borrow::Cow;
use std::cell::Cell;

use minijinja::Value;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value as Json};

use super::bounded_json;
use super::budget::MOST_VALUES;
use super::location::{Location, Place};
use super::recipe::{ResponseFormat, ResponseRules};
use super::template::value_of;

/// A response as it came.
#[derive(Clone, Debug, Default)]
pub struct RawResponse {
    /// The HTTP status.
    pub status: u16,
    /// All headers in their order, repeated ones too.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RawResponse {
    /// A response with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &Json) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }
}

/// A response as read.
#[derive(Clone)]
pub(super) struct StepResponse {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) text: String,
    /// `None`: the body is not what the realm says.
    pub(super) document: Option<Json>,
    /// What the realm says that it is.
    pub(super) format: ResponseFormat,
    /// Whether it was not read since it, or those before it, have too many values.
    pub(super) has_too_many_values: bool,
}

/// Elements within elements, members within members.
const DEEPEST: usize = 64;

impl StepResponse {
    /// The value at a place of this response; vars are not in responses.
    pub(super) fn at(&self, location: &Location) -> Option<Json> {
        match &location.place {
            Place::Body(path) => path.find(self.document.as_ref()?).cloned(),
            Place::Header(name) => self.header(name).map(Json::from),
            Place::Cookie(name) => self.cookie(name).map(Json::from),
            Place::Text => Some(self.text.trim().into()).filter(|text: &Json| text != ""),
            Place::Status => Some(self.status.into()),
            Place::Var(_) => None,
        }
    }

    /// Reads a response; its values are taken from what is left for the whole run.
    pub(super) fn read(raw: RawResponse, rules: &ResponseRules, left: &Cell<usize>) -> Self {
        let (text, is_text) = decoded(&raw);
        let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let body = rules
            .strip_prefix
            .as_deref()
            .and_then(|prefix| body.trim_start().strip_prefix(prefix))
            .unwrap_or(body);
        let before = left.get();
        let document = match rules.format {
            // The prefix may be the beginning of the call.
            ResponseFormat::Json => bounded_json::read(body.trim(), left)
                .or_else(|| read_call(body, left))
                .or_else(|| read_call(&text, left)),
            ResponseFormat::Xml => read_xml(body, left),
            ResponseFormat::Form => read_form(body, left),
            // An object is no token but a provider that speaks JSON when it refuses.
            ResponseFormat::Text => is_text
                .then(|| body.trim().into())
                .filter(|text: &Json| text != "" && read_object(body.trim(), left).is_none()),
        };
        let has_too_many_values = document.is_none() && left.get() == 0;
        if document.is_none() {
            left.set(before);
        }
        Self {
            has_too_many_values,
            status: raw.status,
            headers: raw.headers,
            text,
            document,
            format: rules.format,
        }
    }

    /// The response with what there is of an error in it: where the body is not what the realm
    /// says, as the JSON object that it is, bare or within a script call (`callback( {…} );`). Some
    /// providers refuse in another format than they grant.
    pub(super) fn as_error(&self) -> Cow<'_, Self> {
        let text = self.text.trim_start_matches('\u{feff}').trim();
        match &self.document {
            Some(_) => Cow::Borrowed(self),
            None => match read_object(text, &Cell::new(MOST_VALUES))
                .or_else(|| read_call(text, &Cell::new(MOST_VALUES)))
            {
                Some(object) => Cow::Owned(Self {
                    document: Some(object),
                    ..self.clone()
                }),
                None => Cow::Borrowed(self),
            },
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The cookies that were set (RFC 6265 §5.2) in their order; names are exact, quotes are part
    /// of a value.
    fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let set = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
        set.filter_map(|(_, value)| value.split(';').next()?.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
    }

    /// The value of a cookie; of several with this name the last, as a browser keeps it.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies()
            .filter(|(other, _)| *other == name)
            .last()
            .map(|(_, value)| value)
    }

    /// What templates see as `steps[n]`; of a header that is repeated the first.
    pub(super) fn value(&self) -> Value {
        let headers: Map<_, _> = self
            .headers
            .iter()
            .rev()
            .map(|(name, value)| (name.to_lowercase(), value.as_str().into()))
            .collect();
        let cookies: Map<_, _> = self
            .cookies()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        Value::from_pairs([
            ("status", Value::from(self.status)),
            ("headers", value_of(&headers.into())),
            ("cookies", value_of(&cookies.into())),
            ("text", Value::from(self.text.as_str())),
            (
                "body",
                value_of(self.document.as_ref().unwrap_or(&Json::Null)),
            ),
        ])
    }
}

/// The body as text, and whether it is text: in the encoding that its media type or XML declaration
/// names, else in UTF-8.
fn decoded(raw: &RawResponse) -> (String, bool) {
    let media_type = raw
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let named = media_type.and_then(|(_, value)| charset(value));
    let in_xml = || {
        let head = String::from_utf8_lossy(raw.body.get(..raw.body.len().min(200))?).into_owned();
        charset(
            head.trim_start()
                .strip_prefix("<?xml")?
                .split("?>")
                .next()?,
        )
    };
    let is_utf8 = std::str::from_utf8(&raw.body).is_ok();
    // Latin 1 is what some servers name whatever they send.
    let named = named.filter(|named| !(is_utf8 && *named == encoding_rs::WINDOWS_1252));
    let encoding = named
        .or_else(|| if is_utf8 { None } else { in_xml() })
        .unwrap_or(encoding_rs::UTF_8);
    let (text, has_errors) = encoding.decode_without_bom_handling(&raw.body);
    (text.into_owned(), !has_errors)
}

/// The encoding in `text/html; charset=GBK` or `version="1.0" encoding="GBK"`.
fn charset(text: &str) -> Option<&'static encoding_rs::Encoding> {
    let lower = text.to_ascii_lowercase();
    let at = ["charset=", "encoding="]
        .iter()
        .find_map(|word| Some(lower.find(word)? + word.len()))?;
    let name = lower.get(at..)?.trim_start_matches(['"', '\'']);
    let end = name.find(['"', '\'', ';', ' ', ',']).unwrap_or(name.len());
    encoding_rs::Encoding::for_label(name.get(..end)?.as_bytes())
}

/// The JSON object of a script call, `callback( {…} );`.
fn read_call(text: &str, left: &Cell<usize>) -> Option<Json> {
    let (function, argument) = text
        .trim()
        .trim_end_matches(';')
        .trim_end()
        .split_once('(')?;
    let is_name = function
        .trim()
        .chars()
        .all(|c| c.is_alphanumeric() || "_$.".contains(c));
    argument
        .strip_suffix(')')
        .filter(|_| is_name)
        .map(str::trim)
        .and_then(|argument| read_object(argument, left))
}

fn read_object(text: &str, left: &Cell<usize>) -> Option<Json> {
    bounded_json::read(text, left).filter(Json::is_object)
}

/// Takes one value from those that are left.
fn take_one(left: &Cell<usize>) -> Option<()> {
    left.set(left.get().checked_sub(1)?);
    Some(())
}

fn read_form(body: &str, left: &Cell<usize>) -> Option<Json> {
    let body = body.trim();
    if body.is_empty() || !body.contains('=') || body.starts_with(['{', '<', '[']) {
        return None;
    }
    let members = url::form_urlencoded::parse(body.as_bytes()).map(|(name, value)| {
        take_one(left)?;
        Some((name.into_owned(), value.into_owned().into()))
    });
    members.collect::<Option<Map<_, _>>>().map(Json::from)
}

/// An element that is being read.
#[derive(Default)]
struct Element {
    name: String,
    members: Map<String, Json>,
    text: String,
}

impl Element {
    /// A leaf is its text; else an object, with `#text` if it has some.
    fn into_json(mut self) -> Json {
        let text = self.text.trim();
        if self.members.is_empty() {
            return text.into();
        }
        if !text.is_empty() {
            self.members.insert("#text".to_owned(), text.into());
        }
        self.members.into()
    }

    /// Repeated elements become an array.
    fn add(&mut self, name: String, value: Json) {
        match self.members.get_mut(&name) {
            None => {
                self.members.insert(name, value);
            }
            Some(Json::Array(list)) => list.push(value),
            Some(first) => *first = Json::Array(vec![first.take(), value]),
        }
    }
}

/// XML as JSON: the root is a member, attributes are `@name`. No DTD, no entities of its own;
/// bounded.
fn read_xml(body: &str, left: &Cell<usize>) -> Option<Json> {
    let mut reader = quick_xml::Reader::from_str(body.trim());
    let mut open = vec![Element::default()];
    loop {
        take_one(left)?;
        match reader.read_event().ok()? {
            Event::Start(start) if open.len() <= DEEPEST => open.push(element(&start, left)?),
            Event::Empty(start) if open.len() <= DEEPEST => {
                let element = element(&start, left)?;
                open.last_mut()?
                    .add(element.name.clone(), element.into_json());
            }
            Event::End(_) if open.len() > 1 => {
                let element = open.pop()?;
                open.last_mut()?
                    .add(element.name.clone(), element.into_json());
            }
            Event::Text(text) => open.last_mut()?.text.push_str(&text.xml10_content()),
            Event::CData(data) => open.last_mut()?.text.push_str(&data.xml10_content()),
            Event::GeneralRef(reference) => {
                let text = match reference.resolve_char_ref().ok()? {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&reference)?.to_owned(),
                };
                open.last_mut()?.text.push_str(&text);
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => {
                let root = open
                    .pop()
                    .filter(|root| open.is_empty() && !root.members.is_empty())?;
                return root.text.trim().is_empty().then(|| root.members.into());
            }
            Event::Start(_) | Event::Empty(_) | Event::End(_) | Event::DocType(_) => return None,
        }
    }
}

fn element(start: &BytesStart<'_>, left: &Cell<usize>) -> Option<Element> {
    let name = start.name().into_inner().to_owned();
    let mut members = Map::new();
    for attribute in start.attributes() {
        take_one(left)?;
        let attribute = attribute.ok()?;
        let value = quick_xml::escape::unescape(&attribute.value)
            .ok()?
            .into_owned();
        members.insert(format!("@{}", attribute.key.into_inner()), value.into());
    }
    Some(Element {
        name,
        members,
        text: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn response() -> StepResponse {
        let mut raw = RawResponse::json(
            200,
            &json!({"a": {"b-c": [1, {"d": "x"}]}, "text": "member"}),
        );
        raw.headers.push(("X-Token".into(), "from header".into()));
        raw.headers
            .push(("Set-Cookie".into(), "sid=a1; path=/; HttpOnly".into()));
        raw.headers
            .push(("set-cookie".into(), "other=\"b 2\"".into()));
        StepResponse::read(
            raw,
            &ResponseRules {
                format: ResponseFormat::Json,
                strip_prefix: None,
            },
            &Cell::new(MOST_VALUES),
        )
    }

    #[test]
    fn values_are_found_in_every_place() {
        for (written, expected) in [
            ("$.a['b-c'][1].d", Some(json!("x"))),
            ("a.b-c", Some(json!([1, {"d": "x"}]))),
            ("header:x-token", Some(json!("from header"))),
            ("cookie:sid", Some(json!("a1"))),
            ("cookie:other", Some(json!("\"b 2\""))),
            ("cookie:SID", None),
            ("status", Some(json!(200))),
            ("steps[0].body.a['b-c'][0]", Some(json!(1))),
            ("steps.0.body.text", Some(json!("member"))),
            ("steps[0].headers['x-token']", Some(json!("from header"))),
            ("steps[0].header:X-Token", Some(json!("from header"))),
        ] {
            assert_eq!(
                response().at(&Location::read(written).unwrap()),
                expected,
                "{written}"
            );
        }
        assert!(
            response()
                .at(&Location::read("text").unwrap())
                .unwrap()
                .as_str()
                .unwrap()
                .starts_with('{')
        );
    }

    fn read(format: ResponseFormat, prefix: Option<&str>, body: &str) -> Option<Json> {
        let raw = RawResponse {
            status: 200,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        StepResponse::read(
            raw,
            &ResponseRules {
                format,
                strip_prefix: prefix.map(str::to_owned),
            },
            &Cell::new(MOST_VALUES),
        )
        .document
    }

    #[test]
    fn every_format_is_read() {
        use ResponseFormat::{Form, Json, Text, Xml};
        for (format, prefix, body, expected) in [
            (Json, None, r#"{"a":1}"#, Some(json!({"a": 1}))),
            (Json, None, "\u{feff} \"token\" ", Some(json!("token"))),
            (
                Json,
                Some("&&&START&&&"),
                "&&&START&&&{\"a\":1}",
                Some(json!({"a": 1})),
            ),
            (
                Json,
                Some("&&&START&&&"),
                r#"{"a":1}"#,
                Some(json!({"a": 1})),
            ),
            (Json, None, "<html>", None),
            (
                Form,
                None,
                "access_token=a%20b&expires_in=7776000",
                Some(json!({"access_token": "a b", "expires_in": "7776000"})),
            ),
            (Form, None, r#"{"error":"a=b"}"#, None),
            (Text, None, " tok\n", Some(json!("tok"))),
            (Text, None, "", None),
            (Text, None, r#"{"error":"x"}"#, None),
            (
                Xml,
                None,
                "<?xml version=\"1.0\"?><r s='ok'><k>a &amp; &#65;</k><l>1</l><l>2</l><e/></r>",
                Some(json!({"r": {"@s": "ok", "k": "a & A", "l": ["1", "2"], "e": ""}})),
            ),
            (
                Xml,
                None,
                "<r><k a='1'><![CDATA[<t>]]></k></r>",
                Some(json!({"r": {"k": {"@a": "1", "#text": "<t>"}}})),
            ),
            (Xml, None, "<r><k></r>", None),
            (
                Xml,
                None,
                "<!DOCTYPE r [<!ENTITY a \"b\">]><r>&a;</r>",
                None,
            ),
            (Xml, None, "not xml", None),
        ] {
            assert_eq!(read(format, prefix, body), expected, "{body}");
        }
        assert_eq!(read(Xml, None, &"<a>".repeat(100_000)), None);
    }

    #[test]
    fn an_error_is_read_in_another_format() {
        let error = json!({"error": 100_015});
        for (body, expected) in [
            (r#"{"error":100015}"#, Some(&error)),
            ("\u{feff} callback( {\"error\":100015} );\n", Some(&error)),
            (r#"a.b$({"error":100015})"#, Some(&error)),
            ("callback( {\"error\":100015 );", None),
            ("callback()", None),
            ("(", None),
            ("<a>({})", None),
            (r#"["error"]"#, None),
        ] {
            let raw = RawResponse {
                status: 200,
                headers: Vec::new(),
                body: body.as_bytes().to_vec(),
            };
            let rules = ResponseRules {
                format: ResponseFormat::Form,
                strip_prefix: None,
            };
            assert_eq!(
                StepResponse::read(raw, &rules, &Cell::new(MOST_VALUES))
                    .as_error()
                    .document
                    .as_ref(),
                expected,
                "{body}"
            );
        }
    }

    fn of(body: &[u8], headers: &[(&str, &str)], format: ResponseFormat) -> StepResponse {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        StepResponse::read(
            RawResponse {
                status: 200,
                headers,
                body: body.to_vec(),
            },
            &ResponseRules {
                format,
                strip_prefix: None,
            },
            &Cell::new(MOST_VALUES),
        )
    }

    #[test]
    fn a_body_is_read_in_the_encoding_that_is_named() {
        // {"msg":"密钥错误"} in GBK.
        let gbk = b"{\"msg\":\"\xc3\xdc\xd4\xbf\xb4\xed\xce\xf3\"}";
        let expected = json!({"msg": "密钥错误"});
        for media_type in [
            "application/json; charset=GBK",
            "text/html;charset=\"gb2312\"; x=y",
        ] {
            let response = of(gbk, &[("Content-Type", media_type)], ResponseFormat::Json);
            assert_eq!(response.document.as_ref(), Some(&expected), "{media_type}");
        }
        let utf8 = expected.to_string();
        for media_type in [
            "application/json",
            "application/json; charset=ISO-8859-1",
            "text/plain; charset=none",
        ] {
            let response = of(
                utf8.as_bytes(),
                &[("content-type", media_type)],
                ResponseFormat::Json,
            );
            assert_eq!(response.document.as_ref(), Some(&expected), "{media_type}");
        }
        let xml = [
            b"<?xml version='1.0' encoding='GBK'?><msg>".as_slice(),
            b"\xc3\xdc",
            b"</msg>",
        ]
        .concat();
        assert_eq!(
            of(&xml, &[], ResponseFormat::Xml).document,
            Some(json!({"msg": "密"}))
        );
        assert_eq!(of(gbk, &[], ResponseFormat::Text).document, None);
    }

    #[test]
    fn a_script_call_is_its_object() {
        let response = of(
            b"callback( {\"access_token\":\"t\"} );\n",
            &[],
            ResponseFormat::Json,
        );
        assert_eq!(response.document, Some(json!({"access_token": "t"})));
        let rules = ResponseRules {
            format: ResponseFormat::Json,
            strip_prefix: Some("cb(".to_owned()),
        };
        let raw = RawResponse {
            status: 200,
            headers: Vec::new(),
            body: b"cb({\"access_token\":\"t\"})".to_vec(),
        };
        assert_eq!(
            StepResponse::read(raw, &rules, &Cell::new(MOST_VALUES)).document,
            response.document
        );
        assert_eq!(
            of(b"<script>f({})", &[], ResponseFormat::Json).document,
            None
        );
    }

    #[test]
    fn of_cookies_with_one_name_the_last_is_kept() {
        let set = [
            ("Set-Cookie", "sid=deleteMe; Max-Age=0"),
            ("set-cookie", "other=\"b 2\""),
            ("Set-Cookie", "sid=new; path=/"),
        ];
        let response = of(b"{}", &set, ResponseFormat::Json);
        assert_eq!(
            (response.cookie("sid"), response.cookie("other")),
            (Some("new"), Some("\"b 2\""))
        );
        assert_eq!(
            crate::realm::template::json_of(&response.value().get_attr("cookies").unwrap()),
            Ok(json!({"sid": "new", "other": "\"b 2\""}))
        );
    }
}
