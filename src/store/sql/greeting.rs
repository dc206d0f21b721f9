//! What a MySQL server says of itself before anybody logs in.
//!
//! Where there is no TLS, MySQL's logins by SHA-256 encrypt the password with a key that the same
//! connection brings, and the driver asks nobody whether it is the server's. So a server that has
//! no TLS and wants such a login is only logged in to where the URL says that there is none.
//!
//! It does not stop somebody in between who offers TLS with a certificate of their own: only a
//! verified certificate does.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Logins that send the password.
const BY_SHA256: [&str; 2] = ["caching_sha2_password", "sha256_password"];
/// The capability `CLIENT_SSL`.
const TLS: u16 = 0x0800;
/// Longer greetings are not read.
const LONGEST: usize = 4096;

/// Whether the server has no TLS and wants a login that sends the password. What is not a greeting
/// is left to the driver.
///
/// Source: MySQL's client/server protocol, `HandshakeV10`.
pub(super) async fn wants_password_in_the_open(mut server: impl AsyncRead + Unpin) -> bool {
    let mut head = [0; 4];
    if server.read_exact(&mut head).await.is_err() {
        return false;
    }
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    let mut greeting = vec![0; length.min(LONGEST)];
    server.read_exact(&mut greeting).await.is_ok() && is_open(&greeting).unwrap_or(false)
}

fn is_open(greeting: &[u8]) -> Option<bool> {
    let (10, rest) = greeting
        .split_first()
        .map(|(version, rest)| (*version, rest))?
    else {
        return None;
    };
    let version = rest.iter().position(|byte| *byte == 0)?;
    // Thread, 8 bytes of the nonce, a filler.
    let rest = rest.get(version + 1 + 4 + 8 + 1..)?;
    let (low, rest) = rest.split_first_chunk::<2>()?;
    // Character set, status, the other half of the capabilities.
    let (nonce, rest) = rest.get(1 + 2 + 2..)?.split_first()?;
    let rest = rest.get(10 + usize::from(*nonce).saturating_sub(8).max(13)..)?;
    let login = rest.split(|byte| *byte == 0).next()?;
    let has_tls = u16::from_le_bytes(*low) & TLS != 0;
    Some(!has_tls && BY_SHA256.iter().any(|name| name.as_bytes() == login))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A greeting as MySQL 8 and MariaDB send it.
    fn greeting(capabilities: u16, login: &str) -> Vec<u8> {
        let mut body = vec![10];
        body.extend(b"8.4.0\0");
        body.extend([7, 0, 0, 0]);
        body.extend(b"nonce-1-");
        body.push(0);
        body.extend(capabilities.to_le_bytes());
        body.push(255);
        body.extend([2, 0, 0xff, 0xdf]);
        body.push(21);
        body.extend([0; 10]);
        body.extend(b"nonce-part-2\0");
        body.extend(login.as_bytes());
        body.push(0);
        let mut packet = u32::try_from(body.len()).unwrap().to_le_bytes()[..3].to_vec();
        packet.push(0);
        packet.extend(body);
        packet
    }

    #[tokio::test]
    async fn a_server_without_tls_that_wants_the_password_is_known() {
        for (packet, expected) in [
            (greeting(0xf7ff, "caching_sha2_password"), true),
            (greeting(0xf7ff, "sha256_password"), true),
            (greeting(0xffff, "caching_sha2_password"), false),
            (greeting(0xf7ff, "mysql_native_password"), false),
            (
                greeting(0xf7ff, "caching_sha2_password")[..40].to_vec(),
                false,
            ),
            (b"SSH-2.0-OpenSSH\r\n".to_vec(), false),
            (vec![1, 0, 0, 0, 10], false),
            (Vec::new(), false),
        ] {
            assert_eq!(
                wants_password_in_the_open(packet.as_slice()).await,
                expected,
                "{packet:?}"
            );
        }
    }

    #[tokio::test]
    async fn such_a_server_elsewhere_is_refused_unless_the_url_says_that_there_is_no_tls() {
        use tokio::io::AsyncWriteExt as _;

        use super::super::{DatabaseUrl, SqlStore};

        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // It comes to this machine, and is no address of loopback.
        let address = format!("0.0.0.0:{}", server.local_addr().unwrap().port());
        let url = DatabaseUrl::read(&format!("mysql://u:hush@{address}/ts")).unwrap();
        let patience = std::time::Duration::from_secs(30);
        let store = SqlStore::open(&url, 1, patience).await.unwrap();
        let greet = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let packet = greeting(0xf7ff, "caching_sha2_password");
            stream.write_all(&packet).await.unwrap();
            stream
        };
        let (reached, _stream) = tokio::join!(store.reach(), greet);
        let refusal = reached.unwrap_err().to_string();
        assert!(refusal.contains("ssl-mode=disabled"), "{refusal}");
        assert!(!refusal.contains("hush"), "{refusal}");
    }
}
