//! One order, from the question to the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use tokio::time::timeout;

use super::answer::ChallengeAnswer;
use super::failure::OrderFailure;
use super::history::Challenge;
use crate::tls::Certificates;

/// What a CA has given: the certificate with those who vouch for it, and its key, in PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// What is ordered.
pub(super) struct OrderWish<'a> {
    pub(super) name: &'a str,
    pub(super) challenge: Challenge,
    /// The certificate that it is to replace, where the CA wants to know (RFC 9773 §5).
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// Orders a certificate.
///
/// # Errors
/// Why there is none.
pub(super) async fn obtain(
    account: &Account,
    wish: OrderWish<'_>,
    certificates: &Arc<Certificates>,
) -> Result<Issued, OrderFailure> {
    let ordered = timeout(ORDER, order(account, wish, certificates)).await;
    ordered.unwrap_or_else(|_| Err(OrderFailure::other("the CA was not done in time")))
}

async fn order(
    account: &Account,
    wish: OrderWish<'_>,
    certificates: &Arc<Certificates>,
) -> Result<Issued, OrderFailure> {
    let identifiers = [Identifier::Dns(wish.name.to_owned())];
    let mut asked = NewOrder::new(&identifiers);
    if let Some(replaces) = &wish.replaces {
        asked = asked.replaces(replaces.clone());
    }
    let mut order = account.new_order(&asked).await?;
    // Until the CA has looked.
    let answer = prove(&mut order, &wish, certificates).await?;
    let ready = order.poll_ready(&PATIENCE).await;
    drop(answer);
    match ready {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(Error::Api(_)) => return Err(reason(&mut order, wish.challenge, ready.err()).await),
        Err(error) => return Err(error.into()),
    }
    let key = order.finalize().await?;
    let certificate = order.poll_certificate(&PATIENCE).await?;
    Ok(Issued { certificate, key })
}

/// Answers what the CA wants to know, unless it knows from before.
async fn prove(
    order: &mut Order,
    wish: &OrderWish<'_>,
    certificates: &Arc<Certificates>,
) -> Result<Option<ChallengeAnswer>, OrderFailure> {
    let mut shown = None;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let (name, challenge) = (wish.name, wish.challenge);
        let Some(mut asked) = authorization.challenge(kind(challenge)) else {
            let text = format!("the CA does not offer {}", challenge.name());
            return Err(OrderFailure::new(super::failure::OrderReason::Refused, text));
        };
        let token = asked.token.clone();
        shown = Some(ChallengeAnswer::show(certificates, (name, challenge, &token), &asked.key_authorization())?);
        match asked.set_ready().await {
            Err(Error::Api(problem)) => return Err(OrderFailure::from(Error::Api(problem))),
            done => done?,
        }
    }
    Ok(shown)
}

/// Why the CA does not believe that the name is ours: what it says of the challenge, else what it says of the order.
async fn reason(order: &mut Order, challenge: Challenge, error: Option<Error>) -> OrderFailure {
    if order.refresh().await.is_ok() {
        let mut authorizations = order.authorizations();
        while let Some(Ok(authorization)) = authorizations.next().await {
            if let Some(problem) = authorization.challenges.iter().find_map(|one| one.error.as_ref()) {
                return OrderFailure::refused(challenge.name(), challenge.port(), problem);
            }
        }
    }
    error.map_or_else(|| OrderFailure::other("the CA has ended the order without a reason"), OrderFailure::from)
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
    }
}

/// All of an order. A CA looks from several places, some of them slow.
const ORDER: Duration = Duration::from_secs(180);
/// For each of the two things that a CA does in its own time.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(60));
