#!/usr/bin/env python3
"""Turns a list of provider descriptions into realm definitions with their tests.

    python3 convert.py providers.json [providers.jsonl]

An entry of providers.json tells one token endpoint in a neutral notation of its own (templates `{{name|filter:arg}}`,
`steps`, `token_at`, `expires_at_rule`, `state`, …). Each becomes one line:

    id, expressible
    config          the realm in the general form of the realm language
    inputs          example values of every credential and setting; "@rsa", "@ec", "@ed25519", "@certificate" stand for a
                    throw-away key or certificate that the test puts in ("@certificate" belongs to "@rsa")
    tokens          alias → example token of `depends_on`
    now, uuid, nonce
    answers         a good answer for each request; a body that is a string is sent as it stands where the response format
                    is text, xml or form, and as a JSON string otherwise
    requests        what must be sent, one for each request: method, url (without the query), query, headers, format, and
                    body: parsed form or JSON, the text, or the XML tree. Fields that hold a signed JWT are left out.
    jwts            var → alg, header and claims of the signed JWT, decoded
    token           null where it is a signature that is not worked out here
    expires_in      milliseconds; null with never_expires
    outputs, save
    refresh         where a separate refresh request exists: grant, requests and answers of a second fetch
    error_answers   answers of which the last one is the provider's error

The expected values are worked out here from the entry's own notation, never from the converted definition, so that a
fault of the conversion or of the engine shows. Standard library only; the same input gives the same bytes.
"""

import base64
import calendar
import hashlib
import hmac
import json
import re
import sys
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timezone
from pathlib import Path

NOW = 1760000000
UUID = "00000000-0000-4000-8000-000000000001"
NONCE = "0123456789abcdef0123456789abcdef"

# Words of the realm language that may not name an input or a var.
RESERVED = set("now now_ms uuid nonce steps tokens token true false none True False None and or not if else in is".split())

# Names whose plain `example-<name>` would not do, or would test less.
EXAMPLES = {"login": "host/example-login", "res": "products/example-product", "policy": '{"version":"2.0"}',
            "sdk_app_id": "1400000001", "path": "/v2/iat", "scope": "example.read example.write",
            "role_arn": "arn:aws:iam::000000000000:role/example"}

EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.S)
TEXT_FILTERS = {"base64", "base64url", "hex", "urlencode", "form_urlencode", "date", "upper", "lower", "trim", "split",
                "replace", "string", "json", "slice", "utf8"}
NUMBER_FILTERS = {"int", "float", "add"}


# ---------------------------------------------------------------- reading an entry's templates

def parse(expression):
    """`name|filter:a,b` → (name, [(filter, [a, b])]); quoted parts may hold any character."""
    parts, quote, part = [], False, ""
    for character in expression:
        quote ^= character == "'"
        if character == "|" and not quote:
            parts.append(part)
            part = ""
        else:
            part += character
    parts.append(part)
    filters = []
    for text in parts[1:]:
        name, _, arguments = text.strip().partition(":")
        filters.append((name, re.findall(r"'[^']*'|[^,\s]+", arguments)))
    return parts[0].strip(), filters


def single(template):
    """The expression of a template that is nothing else, or None."""
    match = re.fullmatch(r"\{\{(.*?)\}\}", template, re.S)
    return match.group(1) if match and "{{" not in match.group(1) else None


def names_in(value):
    """Every name that the templates of a value mention."""
    if isinstance(value, str):
        for expression in EXPRESSION.findall(value):
            name, filters = parse(expression)
            yield name
            for _, arguments in filters:
                yield from (argument for argument in arguments if not argument.startswith("'"))
    elif isinstance(value, dict):
        if isinstance(value.get("key"), str) and "alg" in value:
            yield value["key"]
        for member in value.values():
            yield from names_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from names_in(member)


# ---------------------------------------------------------------- the definition

class Definition:
    """One entry rewritten as a realm definition."""

    def __init__(self, entry):
        self.entry = entry
        names = list(entry["credentials"]) + list(entry["settings"]) + list(entry.get("vars") or {})
        self.renamed = {name: name + "_value" for name in names if name in RESERVED}

    def name(self, name):
        """A name or a quoted text in the spelling of the realm language."""
        if name.startswith("'"):
            return name
        name = re.sub(r"^steps\.(\d+)\.", r"steps[\1].", name)
        return self.renamed.get(name, name)

    def is_number(self, name):
        """Whether a name gives a number where it stands alone. A var never does: it is made text unless it says int."""
        if name in ("now", "now_ms"):
            return True
        expression = single((self.entry.get("vars") or {}).get(name, "")) if isinstance(
            (self.entry.get("vars") or {}).get(name, ""), str) else None
        return bool(expression) and parse(expression)[1][-1:] == [("int", [])]

    def expression(self, expression, alone):
        """One expression. Standing alone a number becomes text, unless the entry asks for `int`."""
        name, filters = parse(expression)
        number = self.is_number(name)
        text = self.name(name)
        for filter_name, arguments in filters:
            text += " | " + filter_name
            if arguments:
                text += "(" + ", ".join(self.name(argument) for argument in arguments) + ")"
            number = filter_name in NUMBER_FILTERS or (number and filter_name not in TEXT_FILTERS)
        if alone and number and (not filters or filters[-1][0] != "int"):
            text += " | string"
        return "{{ " + text + " }}"

    def template(self, value):
        """Any JSON value with templates in its strings."""
        if isinstance(value, str):
            alone = single(value) is not None
            return EXPRESSION.sub(lambda match: self.expression(match.group(1), alone), value)
        if isinstance(value, dict):
            return {name: self.template(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.template(member) for member in value]
        return value

    def location(self, location):
        if location.startswith("var:"):
            return "var:" + self.name(location[4:])
        return re.sub(r"^steps\.(\d+)\.", r"steps[\1].", location)

    def inputs(self):
        entry, inputs = self.entry, {}
        state = entry.get("state") or {}
        for name in entry["credentials"]:
            described = {} if is_secret(name) else {"secret": False}
            if name in (entry.get("pushed_credentials") or []):
                described["from"] = "pushed"
            if name in state:
                described["from"] = "rotating"
            inputs[self.name(name)] = described
        for name in entry["settings"]:
            inputs[self.name(name)] = {}
        for name in state:
            inputs.setdefault(self.name(name), {"from": "rotating", "required": False})
        return inputs

    def vars(self):
        result = {}
        for name, value in (self.entry.get("vars") or {}).items():
            if isinstance(value, dict) and "jwt" in value:
                jwt = {"alg": value["jwt"]["alg"], "key": "{{ " + self.name(value["jwt"]["key"]) + " }}",
                       "header": self.template(value["jwt"]["header"]), "claims": self.template(value["jwt"]["claims"])}
                if value["jwt"].get("lifetime") is not None:
                    jwt["lifetime"] = value["jwt"]["lifetime"]
                result[self.name(name)] = {"jwt": jwt}
            else:
                result[self.name(name)] = self.template(value)
        return result

    def request(self, step):
        request = {"method": step["method"], "url": self.template(step["url"])}
        for part in ("query", "headers"):
            if step.get(part):
                request[part] = self.template(step[part])
        if step["body_format"] != "none":
            request[step["body_format"]] = self.template(step["body"])
        return request

    def expires(self):
        rule = self.entry["expires_at_rule"]
        if rule["unit"] == "none":
            return "never"
        if rule["unit"] == "fixed":
            return {"lifetime": rule["lifetime"]}
        if rule["unit"] == "jwt_exp":
            return {"jwt_exp": True}
        expires = {"path": self.location(rule["source"]), "unit": rule["unit"]}
        if "default" in rule:
            expires["default"] = rule["default"]
        return expires

    def config(self):
        entry = self.entry
        config = {"inputs": self.inputs()}
        if entry.get("vars"):
            config["vars"] = self.vars()
        if entry.get("depends_on"):
            config["depends_on"] = {alias: {"realm": realm, "key": "k"} for alias, realm in entry["depends_on"].items()}
        if entry["steps"]:
            config["requests"] = [self.request(step) for step in entry["steps"]]
        if entry.get("refresh_steps"):
            config["refresh_requests"] = [self.request(step) for step in entry["refresh_steps"]]
        response = {}
        if entry.get("response_format", "json") != "json":
            response["format"] = entry["response_format"]
        if prefix_of(entry):
            response["strip_prefix"] = prefix_of(entry)
        if response:
            config["response"] = response
        if entry.get("success_when"):
            config["success_when"] = entry["success_when"]
        config["token"] = self.location(entry["token_at"])
        config["expires"] = self.expires()
        if entry.get("outputs"):
            config["outputs"] = {name: self.location(place) for name, place in entry["outputs"].items()}
        if entry.get("state"):
            config["save"] = {self.name(name): self.location(place) for name, place in entry["state"].items()}
        if entry.get("tls"):
            names = {"client_certificate": "certificate", "client_key": "key", "ca": "ca"}
            config["tls"] = {names[part]: "{{ " + self.name(name) + " }}" for part, name in entry["tls"].items()}
        config["token_use"] = entry["token_use"]
        return config


def is_secret(name):
    """Whether a credential of this name is to be hidden: everything but plain identifiers and names."""
    return bool(re.search(r"secret|password|private|token|ticket|credential|_key$|^key|api_key|bearer", name)
                and not re.search(r"(_id|_sid|thumbprint|public_key_id)$|^credential_id|^app_key$|^appkey$", name))


def prefix_of(entry):
    return entry.get("strip_prefix") or entry.get("response_prefix")


# ---------------------------------------------------------------- the expected values

class Expected:
    """What a fetch of one entry must send and give, from the entry's own notation."""

    def __init__(self, entry, inputs, tokens, answers):
        self.entry, self.inputs, self.tokens, self.answers = entry, inputs, tokens, answers
        self.vars = entry.get("vars") or {}

    def holds_jwt(self, value):
        """Whether a value contains a signed JWT, itself or through vars."""
        for name in names_in(value):
            if name in self.vars:
                var = self.vars[name]
                if (isinstance(var, dict) and "jwt" in var) or self.holds_jwt(var):
                    return True
        return False

    def lookup(self, name):
        if name.startswith("'"):
            return name[1:-1]
        if re.fullmatch(r"-?\d+", name):
            return int(name)
        given = {"now": str(NOW), "now_ms": str(NOW * 1000), "uuid": UUID, "nonce": NONCE}
        if name in given:
            return given[name]
        if name.startswith("tokens."):
            return self.tokens[name[7:]]
        if name.startswith("steps."):
            return self.step_value(name)
        if name in self.vars:
            return self.render(self.vars[name])
        return self.inputs[name]

    def step_value(self, name):
        _, index, part, *path = name.split(".")
        value = read_body(self.answers[int(index)], self.entry) if part == "body" else self.answers[int(index)][part]
        for member in path:
            value = value[int(member)] if isinstance(value, list) else value[member]
        return value

    def expression(self, expression):
        name, filters = parse(expression)
        value = self.lookup(name)
        for filter_name, arguments in filters:
            value = FILTERS[filter_name](value, *[self.lookup(argument) for argument in arguments])
        return value

    def render(self, value):
        """The value with its templates filled in; only `int` and bytes keep their type, all else becomes text."""
        if isinstance(value, str):
            alone = single(value)
            if alone is not None:
                result = self.expression(alone)
                keeps = isinstance(result, bytes) or (isinstance(result, int) and parse(alone)[1][-1:] == [("int", [])])
                return result if keeps else str(result)
            return EXPRESSION.sub(lambda match: str(self.expression(match.group(1))), value)
        if isinstance(value, dict):
            return {name: self.render(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.render(member) for member in value]
        return value

    def without_jwt(self, value):
        """A rendered copy of a body, query or headers, without the members that hold a signed JWT."""
        if isinstance(value, dict):
            return {name: self.without_jwt(member) for name, member in value.items() if not self.holds_jwt(member)}
        return self.render(value)

    def request(self, step):
        request = {"method": step["method"], "url": self.render(step["url"]),
                   "query": {name: str(value) for name, value in self.without_jwt(step.get("query") or {}).items()},
                   "headers": {name: str(value) for name, value in self.without_jwt(step.get("headers") or {}).items()},
                   "format": step["body_format"]}
        if step["body_format"] == "form":
            request["body"] = {name: str(value) for name, value in self.without_jwt(step["body"]).items()}
        elif step["body_format"] == "none":
            request["body"] = None
        elif not (isinstance(step["body"], str) and self.holds_jwt(step["body"])):
            request["body"] = self.without_jwt(step["body"])
        return request

    def jwts(self):
        result = {}
        for name, value in self.vars.items():
            if isinstance(value, dict) and "jwt" in value:
                jwt = value["jwt"]
                claims = self.render(jwt["claims"])
                if jwt.get("lifetime") is not None:
                    claims.setdefault("iat", NOW)
                    claims.setdefault("exp", NOW + jwt["lifetime"])
                result[name] = {"alg": jwt["alg"], "header": self.render(jwt["header"]), "claims": claims}
        return result

    def at(self, location):
        """The value at a location of the answers, or None."""
        if location.startswith("var:"):
            name = location[4:]
            return None if name not in self.vars or self.holds_jwt("{{" + name + "}}") else self.render(self.vars[name])
        if location.startswith("steps."):
            return self.step_value(location)
        answer = self.answers[-1]
        if location == "text":
            return answer["body"]
        if location.startswith("header:"):
            wanted = location[7:].lower()
            return next((value for name, value in answer["headers"].items() if name.lower() == wanted), None)
        if location.startswith("cookie:"):
            lines = next((value for name, value in answer["headers"].items() if name.lower() == "set-cookie"), [])
            for line in [lines] if isinstance(lines, str) else lines:
                name, _, value = line.split(";")[0].partition("=")
                if name.strip() == location[7:]:
                    return value
            return None
        value = read_body(answer, self.entry)
        for member in re.findall(r"[^.\[\]'\"$]+", location.replace("$", "", 1)):
            if isinstance(value, list) and member.isdigit() and int(member) < len(value):
                value = value[int(member)]
            elif isinstance(value, dict) and member in value:
                value = value[member]
            else:
                return None
        return value

    def expires_in(self, token):
        """Milliseconds; 300 s where the answer tells nothing; None for never."""
        rule = self.entry["expires_at_rule"]
        unit = rule["unit"]
        if unit == "none":
            return None
        if unit == "fixed":
            return rule["lifetime"] * 1000
        if unit == "jwt_exp":
            return int(json.loads(unpadded(token.split(".")[1]))["exp"]) * 1000 - NOW * 1000
        value = self.at(rule["source"])
        if value in (None, ""):
            return rule.get("default", 300) * 1000
        return UNITS[unit](value)


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def octets(value):
    return value if isinstance(value, bytes) else str(value).encode()


def keyed(name):
    return lambda value, key: hmac.new(octets(key), octets(value), name).digest()


def digest(name):
    return lambda value: hashlib.new(name, octets(value)).digest()


FILTERS = {
    "base64": lambda value: base64.b64encode(octets(value)).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(octets(value)).decode().rstrip("="),
    "hex": lambda value: octets(value).hex(),
    "from_base64": lambda value: base64.b64decode(value),
    "from_base64url": unpadded,
    "from_hex": bytes.fromhex,
    "md5": digest("md5"), "sha1": digest("sha1"), "sha256": digest("sha256"), "sha512": digest("sha512"),
    "hmac_md5": keyed("md5"), "hmac_sha1": keyed("sha1"), "hmac_sha256": keyed("sha256"), "hmac_sha512": keyed("sha512"),
    "urlencode": lambda value: urllib.parse.quote(octets(value), safe="-._~"),
    "form_urlencode": lambda value: urllib.parse.quote_plus(octets(value), safe="-._~"),
    "int": int, "string": str, "upper": lambda value: value.upper(), "lower": lambda value: value.lower(),
    "trim": lambda value: value.strip(),
    "add": lambda value, number: int(value) + number,
    "split": lambda value, separator, index: value.split(separator)[index],
    "replace": lambda value, old, new: value.replace(old, new),
    "date": lambda value, pattern: time.strftime(pattern, time.gmtime(int(value))),
}


def from_rfc3339(text):
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return calendar.timegm(moment.utctimetuple()) * 1000 + moment.microsecond // 1000 - NOW * 1000


def from_date(text):
    moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    return (calendar.timegm(moment.timetuple()) - NOW) * 1000


def from_dhm(text):
    days, hours, minutes = (int(part) for part in text.split(":"))
    return ((days * 24 + hours) * 60 + minutes) * 60000


UNITS = {
    "seconds": lambda value: int(float(value) * 1000), "milliseconds": lambda value: int(float(value)),
    "minutes": lambda value: int(float(value) * 60000), "epoch_seconds": lambda value: int(value) * 1000 - NOW * 1000,
    "epoch_milliseconds": lambda value: int(value) - NOW * 1000, "rfc3339": from_rfc3339, "date": from_date,
    "duration_dhm": from_dhm,
}


def read_body(answer, entry):
    """The answer's body as JSON, as the realm language reads it."""
    body, kind = answer["body"], entry.get("response_format", "json")
    if prefix_of(entry) and isinstance(body, str):
        return json.loads(body.removeprefix(prefix_of(entry)))
    if kind == "form" and isinstance(body, str):
        return dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
    if kind == "xml" and isinstance(body, str):
        root = ElementTree.fromstring(body)
        return {local(root.tag): read_element(root)}
    return body


def local(tag):
    return tag.rpartition("}")[2]


def read_element(element):
    value = {"@" + local(name): text for name, text in element.attrib.items()}
    for child in element:
        name, member = local(child.tag), read_element(child)
        if name not in value:
            value[name] = member
        elif isinstance(value[name], list):
            value[name].append(member)
        else:
            value[name] = [value[name], member]
    text = (element.text or "").strip()
    if not value:
        return element.text or ""
    if text:
        value["#text"] = text
    return value


# ---------------------------------------------------------------- one entry

def example_inputs(entry):
    """A value for every credential and setting."""
    given = dict(entry.get("credential_examples") or {})
    types = entry.get("credential_types") or {}
    algorithms = {var["jwt"]["key"]: var["jwt"]["alg"] for var in (entry.get("vars") or {}).values()
                  if isinstance(var, dict) and "jwt" in var}
    certificates = {name for part, name in (entry.get("tls") or {}).items() if "key" not in part}
    keys = {name for part, name in (entry.get("tls") or {}).items() if "key" in part}
    urls = [step["url"] for step in entry["steps"] + (entry.get("refresh_steps") or [])]
    for name in entry["credentials"] + entry["settings"]:
        if name in given:
            continue
        if name in certificates:
            given[name] = "@certificate"
        elif name in keys or name in types:
            given[name] = "@" + types.get(name, "rsa")
        elif name in algorithms and not algorithms[name].startswith("HS"):
            given[name] = {"ES": "@ec", "Ed": "@ed25519"}.get(algorithms[name][:2], "@rsa")
        else:
            given[name] = example_text(name, urls)
    return {name: given[name] for name in entry["credentials"] + entry["settings"]}


def example_text(name, urls):
    """`example-<name>`, or a host or base URL where the value is used as one."""
    dashed = name.replace("_", "-")
    for url in urls:
        if url.startswith("{{" + name + "}}"):
            return f"https://{dashed}.example"
        if re.search(r"//\{\{" + name + r"\}\}(/|$)", url):
            return f"{dashed}.example"
    if name.endswith(("host", "hostname")):
        return f"{dashed}.example"
    return EXAMPLES.get(name, f"example-{dashed}")


def good_answers(entry):
    steps = entry["steps"]
    if not steps:
        return []
    return [plain_answer(step["response_example"]) for step in steps[:-1]] + [plain_answer(entry["response_example"])]


def plain_answer(answer):
    return {"status": answer["status"], "headers": answer.get("headers") or {}, "body": answer["body"]}


def error_answers(entry, answers):
    """The error alone where the first request can have given it, else after the good answers before the last."""
    if not entry.get("error_example"):
        return None
    error = plain_answer(entry["error_example"])
    at_first = error["status"] >= 300 and entry["steps"][0]["method"] == "POST"
    return [error] if at_first else answers[:-1] + [error]


# Two entries say only in words why their notation lacks them; with `json` vars, `zlib` and `replace` this one can be said.
USERSIG_VARS = {
    "expire": 86400,
    "content": "TLS.identifier:{{ identifier }}\nTLS.sdkappid:{{ sdk_app_id }}\nTLS.time:{{ now }}\nTLS.expire:{{ expire }}\n",
    "document": {"json": {"TLS.ver": "2.0", "TLS.identifier": "{{ identifier }}", "TLS.sdkappid": "{{ sdk_app_id | int }}",
                          "TLS.expire": "{{ expire }}", "TLS.time": "{{ now }}",
                          "TLS.sig": "{{ content | hmac_sha256(secret_key) | base64 }}"}},
    "usersig": "{{ document | zlib | base64 | replace('+', '*') | replace('/', '-') | replace('=', '_') }}",
}


def convert(entry):
    """The line of one entry."""
    config = Definition(entry).config()
    expressible = entry["expressible"]
    if entry["id"] == "tencent-im-usersig" and not entry.get("vars"):
        config = {"inputs": config.pop("inputs"), "vars": USERSIG_VARS, **config}
        expressible = True
    inputs = example_inputs(entry)
    tokens = {alias: f"example-{alias}-token" for alias in entry.get("depends_on") or {}}
    answers = good_answers(entry)
    expected = Expected(entry, inputs, tokens, answers)
    token = expected.at(entry["token_at"])
    token = None if token is None else str(token)
    line = {"id": entry["id"], "expressible": expressible, "config": config,
            "inputs": {Definition(entry).name(name): value for name, value in inputs.items()}, "tokens": tokens,
            "now": NOW, "uuid": UUID, "nonce": NONCE, "answers": answers,
            "requests": [expected.request(step) for step in entry["steps"]], "jwts": expected.jwts(),
            "token": token, "expires_in": expected.expires_in(token)}
    if entry["expires_at_rule"]["unit"] == "none":
        line["never_expires"] = True
    line["outputs"] = {name: expected.at(place) for name, place in (entry.get("outputs") or {}).items()}
    line["save"] = {Definition(entry).name(name): expected.at(place) for name, place in (entry.get("state") or {}).items()}
    if entry.get("refresh_steps"):
        again = Expected(entry, {**inputs, **line["save"]}, tokens, answers)
        line["refresh"] = {"grant": line["save"], "requests": [again.request(step) for step in entry["refresh_steps"]],
                           "answers": answers[-1:]}
    line["error_answers"] = error_answers(entry, answers)
    return line


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: convert.py providers.json [providers.jsonl]")
    entries = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).with_name("providers.jsonl")
    lines = []
    for entry in entries:
        try:
            lines.append(json.dumps(convert(entry), ensure_ascii=False, separators=(",", ":")))
        except Exception as error:
            raise SystemExit(f"{entry['id']}: {type(error).__name__}: {error}") from error
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} definitions written to {target}")


if __name__ == "__main__":
    main()
