//! The names to ask for, in order, where a name is not written out (resolv.conf(5): `search`, `ndots`). Pure.
//!
//! Ours and not the library's, which takes the last of several answers for all of them: a server that fails for one name
//! would be outvoted by the next name, which does not exist.

/// `name` below each of `search`, and as it is: first where it has `ndots` dots. A name that ends in a dot is written out.
pub(super) fn names(name: &str, search: &[String], ndots: usize) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let whole = format!("{name}.");
    let below = search
        .iter()
        .map(|domain| format!("{name}.{}.", domain.trim_matches('.')))
        .filter(|below| *below != format!("{name}.."));
    let dots = name.bytes().filter(|&byte| byte == b'.').count();
    match dots >= ndots {
        true => [whole].into_iter().chain(below).collect(),
        false => below.chain([whole]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_below_the_search_list_and_as_it_is() {
        let search = ["ns.svc.cluster.local".to_owned(), "svc.cluster.local.".to_owned(), ".".to_owned()];
        let all = |name: &str, ndots| names(name, &search, ndots).join(" ");
        assert_eq!(all("app", 5), "app.ns.svc.cluster.local. app.svc.cluster.local. app.");
        assert_eq!(all("app", 0), "app. app.ns.svc.cluster.local. app.svc.cluster.local.");
        assert_eq!(all("app.ns", 1), "app.ns. app.ns.ns.svc.cluster.local. app.ns.svc.cluster.local.");
        assert_eq!(all("app.", 5), "app.");
        assert_eq!(names("app", &[], 1), ["app."]);
    }
}
