//! Requests of ours to a worker that is ready, until it answers as fast as it will.
//!
//! Decides when it is warm. Called as a task by `handle`, which bounds it with `ready_timeout`. Never sends two at once: what
//! compiles at its first request would compile twice.

use std::time::Duration;

use tokio::time::Instant;

use super::ready::ask;
use crate::config::{Address, WarmUp};
use crate::net::Encryption;

/// Returns when the worker at `address` is warm.
///
/// # Errors
/// A phrase: what it answered instead.
pub(super) async fn warm_up(warm_up: &WarmUp, address: &Address, encryption: &Encryption) -> Result<(), String> {
    let WarmUp { question, requests, settle } = warm_up;
    let path = &question.path;
    let mut quick = 0;
    for _ in 0..*requests {
        let begun = Instant::now();
        match ask(address, encryption, question).await {
            Ok(200..400) => {}
            Ok(status) => return Err(format!("its warm-up request GET {path} was answered {status}")),
            Err(error) => return Err(format!("its warm-up request GET {path} was not answered: {error}")),
        }
        quick = if is_quick(begun.elapsed(), *settle) { quick + 1 } else { 0 };
        if quick == QUICK_IN_A_ROW {
            break;
        }
    }
    Ok(())
}

fn is_quick(took: Duration, settle: Option<Duration>) -> bool {
    settle.is_some_and(|settle| took <= settle)
}

/// One alone may have met a cache.
const QUICK_IN_A_ROW: u32 = 3;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::{Host, Question};

    /// A worker that answers its requests after these times, in ms; says how many came.
    async fn asked(
        delays: &'static [u64],
        status: u16,
        requests: u32,
        settle: Option<u64>,
    ) -> (usize, Result<(), String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let worker = tokio::spawn(async move {
            for (count, delay) in delays.iter().chain(std::iter::repeat(&0)).enumerate() {
                let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await
                else {
                    return count;
                };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.unwrap();
                tokio::time::sleep(Duration::from_millis(*delay)).await;
                stream.write_all(format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes()).await.unwrap();
            }
            0
        });
        let settle = settle.map(Duration::from_millis);
        let address = Address::Tcp { host: Host::Ip(at.ip()), port: at.port() };
        let warm =
            warm_up(&WarmUp { question: Question::of("/x"), requests, settle }, &address, &Encryption::default()).await;
        (worker.await.unwrap(), warm)
    }

    #[tokio::test]
    async fn it_ends_with_the_number_or_when_three_in_a_row_were_quick() {
        assert_eq!(asked(&[], 200, 5, None).await, (5, Ok(())));
        assert_eq!(asked(&[100, 100, 0, 0, 0], 200, 20, Some(50)).await, (5, Ok(())));
        assert_eq!(asked(&[0, 0, 100, 0, 0], 200, 4, Some(50)).await, (4, Ok(())));
    }

    #[tokio::test]
    async fn a_bad_answer_or_none_is_a_failure() {
        let (count, warm) = asked(&[], 500, 5, None).await;
        assert_eq!((count, warm), (1, Err("its warm-up request GET /x was answered 500".into())));
        let gone = Address::Unix("/nowhere/at/all".into());
        let error =
            warm_up(&WarmUp { question: Question::of("/"), requests: 1, settle: None }, &gone, &Encryption::default())
                .await
                .unwrap_err();
        assert!(error.starts_with("its warm-up request GET / was not answered: "), "{error}");
    }
}
