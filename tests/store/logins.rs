//! Logging in: which refusals are final, and MySQL's default login without TLS. The servers are
//! scripted: they speak as far as a login goes.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use token_server::store::{DatabaseUrl, SqlStore, StoreError, StoreResult};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PASSWORD: &str = "hush-é-and-longer-than-the-nonce";
const NONCE: &[u8; 20] = b"12345678abcdefghijkl";
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

/// What the store says of a server that treats each connection so.
async fn reach<F>(scheme: &str, password: &str, serve: F) -> StoreResult<()>
where
    F: AsyncFn(TcpStream) -> Option<()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("{scheme}://app:{password}@127.0.0.1:{port}/ts");
    let url = DatabaseUrl::read(&url).unwrap();
    let store = SqlStore::open(&url, 1, Duration::from_secs(2))
        .await
        .unwrap();
    let server = async {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            // The first connection only looks whether somebody listens; a client may hang up at any time.
            let _ = serve(connection).await;
        }
    };
    let outcome = tokio::select! {
        outcome = store.reach() => outcome,
        () = server => unreachable!(),
    };
    let told = format!("{outcome:?}");
    assert!(!told.contains("hush"), "{told}");
    outcome
}

/// Reads a packet of MySQL's.
async fn packet(connection: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    connection.read_exact(&mut head).await.ok()?;
    let mut body = vec![0; usize::from(u16::from_le_bytes([head[0], head[1]]))];
    connection.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn send(connection: &mut TcpStream, number: u8, body: &[u8]) -> Option<()> {
    let length = u16::try_from(body.len()).unwrap().to_le_bytes();
    let mut bytes = vec![length[0], length[1], 0, number];
    bytes.extend(body);
    connection.write_all(&bytes).await.ok()
}

/// MySQL's greeting: no TLS, and this way to log in.
fn greeting(plugin: &str) -> Vec<u8> {
    let mut greeting = b"\x0a8.4.0\0\x01\0\0\0".to_vec();
    greeting.extend(&NONCE[..8]);
    // PROTOCOL_41, SECURE_CONNECTION, CONNECT_WITH_DB, TRANSACTIONS, MYSQL; PLUGIN_AUTH.
    greeting.extend([0, 0x09, 0xa2, 0xff, 2, 0, 0x08, 0, 21]);
    greeting.extend([0; 10]);
    greeting.extend(&NONCE[8..]);
    greeting.push(0);
    greeting.extend(plugin.as_bytes());
    greeting.push(0);
    greeting
}

fn refusal(number: u16, state: &str, words: &str) -> Vec<u8> {
    let mut error = vec![0xff];
    error.extend(number.to_le_bytes());
    error.extend(format!("#{state}{words}").as_bytes());
    error
}

/// A server whose cache does not know the user: it wants the password, encrypted for its key.
async fn full_authentication(
    mut connection: TcpStream,
    key: &PrivateDecryptingKey,
    expected: &str,
) -> Option<()> {
    send(&mut connection, 0, &greeting("caching_sha2_password")).await?;
    packet(&mut connection).await?;
    send(&mut connection, 2, &[1, 4]).await?;
    assert_eq!(packet(&mut connection).await?, [2], "it asks for the key");
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&key.public_key()).unwrap();
    let pem = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<_> = pem
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = lines.join("\n");
    let pem = format!("\u{1}-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
    send(&mut connection, 4, pem.as_bytes()).await?;

    let sent = packet(&mut connection).await?;
    let key = OaepPrivateDecryptingKey::new(key.clone()).unwrap();
    let mut plain = vec![0; key.min_output_size()];
    let plain = key.decrypt(&OAEP_SHA1_MGF1SHA1, &sent, &mut plain, None);
    let password: Vec<u8> = plain
        .unwrap()
        .iter()
        .zip(NONCE.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    if password != [expected.as_bytes(), b"\0"].concat() {
        let words = "Access denied for user 'app'@'localhost' (using password: YES)";
        return send(&mut connection, 6, &refusal(1045, "28000", words)).await;
    }
    send(&mut connection, 6, OK).await?;
    while packet(&mut connection).await.is_some() {
        send(&mut connection, 1, OK).await?;
    }
    Some(())
}

#[tokio::test]
async fn mysqls_default_login_works_without_tls() {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let key = &key;
    let outcome = reach("mysql", PASSWORD, async |connection| {
        full_authentication(connection, key, PASSWORD).await
    });
    assert_eq!(outcome.await, Ok(()));
    let outcome = reach("mysql", "hush-wrong", async |connection| {
        full_authentication(connection, key, PASSWORD).await
    });
    assert_final(outcome.await, &["1045", "app:***@", "correct the user"]);
}

/// For good, with words that say what to do.
fn assert_final(outcome: StoreResult<()>, words: &[&str]) {
    let Err(StoreError::BadUrl(message)) = outcome else {
        panic!("{outcome:?}")
    };
    for words in ["database.url", "TOKEN_SERVER__DATABASE__URL"]
        .iter()
        .chain(words)
    {
        assert!(message.contains(words), "{words} in {message}");
    }
}

fn assert_may_succeed_later(outcome: &StoreResult<()>) {
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_refusal_of_mysqls_is_final_where_the_login_is_what_is_refused() {
    let refused = async |number, state: &str| {
        let error = refusal(number, state, "not now");
        reach("mysql", PASSWORD, async |mut connection| {
            send(&mut connection, 0, &greeting("mysql_native_password")).await?;
            packet(&mut connection).await?;
            send(&mut connection, 2, &error).await
        })
        .await
    };
    for (number, state) in [
        (1045, "28000"),
        (1698, "28000"),
        (1130, "HY000"),
        (1251, "08004"),
        (1524, "HY000"),
    ] {
        assert_final(refused(number, state).await, &[&number.to_string()]);
    }
    // No right on the database, no such database, no connection free, too many failures, shutting down.
    for (number, state) in [
        (1044, "42000"),
        (1049, "42000"),
        (1040, "08004"),
        (1129, "HY000"),
        (1053, "08S01"),
    ] {
        assert_may_succeed_later(&refused(number, state).await);
    }
}

#[tokio::test]
async fn a_way_to_log_in_that_the_driver_does_not_know_is_final() {
    let outcome = reach("mysql", PASSWORD, async |mut connection| {
        send(&mut connection, 0, &greeting("client_ed25519")).await?;
        packet(&mut connection).await.map(drop)
    });
    assert_final(outcome.await, &["client_ed25519", "a way to log in"]);
}

#[tokio::test]
async fn a_refusal_of_postgresqls_is_final_where_the_login_is_what_is_refused() {
    let refused = async |state: &str| {
        let fields = format!("SFATAL\0VFATAL\0C{state}\0Mnot now\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
        let error = [b"E", length.as_slice(), fields.as_bytes()].concat();
        reach("postgres", PASSWORD, async |mut connection| {
            // It asks for TLS first.
            connection.read_exact(&mut [0; 8]).await.ok()?;
            connection.write_all(b"N").await.ok()?;
            connection.read_exact(&mut [0; 4]).await.ok()?;
            connection.write_all(&error).await.ok()
        })
        .await
    };
    for state in ["28P01", "28000"] {
        assert_final(refused(state).await, &["correct the user"]);
    }
    // Starting, no connection free, no such database, no right on it, shutting down.
    for state in ["57P03", "53300", "3D000", "42501", "57P01"] {
        assert_may_succeed_later(&refused(state).await);
    }
}
