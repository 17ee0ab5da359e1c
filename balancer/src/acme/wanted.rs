//! A name that is to have a certificate, and how it is with that.

use std::collections::BTreeSet;
use std::time::Duration;

use instant_acme::CertificateIdentifier;
use jiff::Timestamp;

use super::history::OrderHistory;
use super::pace::later;
use super::renewal::{self, Suggested};
use crate::tls::{Certificate, Pair, Standing};

/// One name.
#[derive(Debug)]
pub(super) struct WantedName {
    pub(super) name: String,
    pub(super) history: OrderHistory,
    held: Option<HeldCertificate>,
    /// When the next order is, where it is not the certificate that says so.
    retry: Option<Timestamp>,
    problem: Option<String>,
    /// Reasons that were told of since the last certificate.
    told: BTreeSet<String>,
}

/// The certificate that is shown.
#[derive(Debug)]
struct HeldCertificate {
    certificate: Certificate,
    /// What the CA knows it by.
    id: Option<CertificateIdentifier<'static>>,
    suggested: Option<Suggested>,
    /// When the CA is asked when to renew it; `None`: it has nothing to say about that.
    ask: Option<Timestamp>,
}

/// What is to be done for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AcmeStep {
    /// The CA is asked when to renew.
    Ask,
    /// A certificate is ordered.
    Order,
}

impl WantedName {
    /// One that nothing is known of but what is kept.
    pub(super) fn new(name: String, kept: Option<&Pair>, now: Timestamp) -> Self {
        let held = kept.map(|pair| HeldCertificate::new(pair, now));
        Self { name, held, history: OrderHistory::default(), retry: None, problem: None, told: BTreeSet::new() }
    }

    /// The same, as if nothing had failed.
    pub(super) fn anew(self) -> Self {
        Self { history: self.history.succeeded(), retry: None, told: BTreeSet::new(), ..self }
    }

    /// What is done next, and when.
    pub(super) fn next(&self) -> (Timestamp, AcmeStep) {
        let ask = self.held.as_ref().and_then(|held| held.ask).map(|at| (at, AcmeStep::Ask));
        ask.into_iter().fold((self.renewal(), AcmeStep::Order), Ord::min)
    }

    /// From now on this one is shown.
    pub(super) fn obtained(&mut self, pair: &Pair, now: Timestamp) {
        (self.held, self.history, self.retry) = (Some(HeldCertificate::new(pair, now)), self.history.succeeded(), None);
        (self.problem, self.told) = (None, BTreeSet::new());
    }

    /// The next order is in so long.
    pub(super) fn retry_in(&mut self, wait: Duration, now: Timestamp) {
        self.retry = Some(later(now, wait));
    }

    /// It has failed so; whether that is news.
    pub(super) fn failed(&mut self, why: &str) -> bool {
        self.problem = Some(why.to_owned());
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        self.told.insert(why.to_owned())
    }

    /// The CA has been asked: `None` where it has nothing to say.
    pub(super) fn asked(&mut self, answer: Result<Option<Suggested>, Duration>, now: Timestamp) {
        let Some(held) = &mut self.held else { return };
        match answer {
            Ok(suggested) => {
                held.ask = suggested.map(|suggested| suggested.ask);
                // A span that is the same still is no reason to draw another moment of it.
                held.suggested = suggested;
            }
            Err(wait) => held.ask = Some(later(now, wait)),
        }
    }

    /// What the CA knows the certificate by.
    pub(super) fn id(&self) -> Option<CertificateIdentifier<'static>> {
        self.held.as_ref()?.id.clone()
    }

    /// What an order replaces, where the CA wants to know: those that do are also those that say when.
    pub(super) fn replaces(&self) -> Option<CertificateIdentifier<'static>> {
        self.held.as_ref()?.suggested?;
        self.id().filter(|_| self.history.is_clean())
    }

    /// Until when the certificate counts.
    pub(super) fn not_after(&self) -> Option<Timestamp> {
        Some(self.held.as_ref()?.certificate.not_after)
    }

    /// When the next order is; long ago where that is overdue.
    pub(super) fn renewal(&self) -> Timestamp {
        match (self.retry, &self.held) {
            (Some(retry), _) => retry,
            (None, Some(held)) => renewal::due(&held.certificate, held.suggested),
            (None, None) => Timestamp::MIN,
        }
    }

    /// For whoever asks; `from` is the CA.
    pub(super) fn standing(&self, from: &str, now: Timestamp) -> Standing {
        Standing {
            name: self.name.clone(),
            from: from.to_owned(),
            not_before: self.held.as_ref().map(|held| held.certificate.not_before),
            not_after: self.not_after(),
            problem: self.problem.clone(),
            next: Some(self.renewal().max(now)),
        }
    }
}

impl HeldCertificate {
    fn new(pair: &Pair, now: Timestamp) -> Self {
        let id = CertificateIdentifier::try_from(pair.own()).ok().map(CertificateIdentifier::into_owned);
        let ask = id.is_some().then_some(now);
        Self { certificate: pair.certificate.clone(), id, suggested: None, ask }
    }
}

/// Reasons that are told of once.
const TOLD_MAX: usize = 16;
