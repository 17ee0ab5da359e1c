//! The room as a whole: text in, [`Config`] or mistakes out.

use super::*;

mod example;
mod manual;
mod mistakes;
mod values;

fn tcp(text: &str) -> ListenAddress {
    ListenAddress::Tcp(text.parse().unwrap())
}
