use super::*;

const URL: &str = "https://ca.test:14000/dir?x=/../y";

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("balancer-acme-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn text_for(name: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    key.serialize_pem() + &params.self_signed(&key).unwrap().pem()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn claimed(base: &Path) -> (Store, StoreClaim) {
    let store = Store::new(base);
    let claim = store.claim(None).unwrap();
    (store, claim)
}

#[test]
fn what_is_kept_is_there_again_and_for_us_alone() {
    let base = scratch("kept");
    let (store, _claim) = claimed(&base);
    assert!(store.certificate(URL, "a.test").is_none() && store.account(URL).is_none());
    store.keep_certificate(URL, "a.test", &text_for("a.test")).unwrap();
    // Also while somebody else has it, as the one before does that is about to end.
    let store = Store::new(&base);
    assert_eq!(store.certificate(URL, "a.test").unwrap().certificate.names, ["a.test"]);
    assert!(store.certificate("https://other.test/", "a.test").is_none(), "each CA has a folder of its own");
    let folder = base.join("acme/ca.test_14000_dir_x__.._y");
    assert_eq!((mode(&base.join("acme")), mode(&folder), mode(&folder.join("a.test.pem"))), (0o700, 0o700, 0o600));
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn what_is_damaged_or_for_somebody_else_is_as_good_as_none() {
    let base = scratch("damaged");
    let (store, _claim) = claimed(&base);
    for text in ["", "nonsense", &text_for("b.test"), &rcgen::KeyPair::generate().unwrap().serialize_pem()] {
        store.keep_certificate(URL, "a.test", text).unwrap();
        assert!(store.certificate(URL, "a.test").is_none(), "{text}");
    }
    for text in ["", "{}", "{\"version\":2}", "{\"version\":1,\"credentials\":{}}", "[[[["] {
        store.keep(URL, ACCOUNT, text.as_bytes()).unwrap();
        assert!(store.account(URL).is_none(), "{text}");
    }
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn two_balancers_do_not_write_to_one_store() {
    let base = scratch("shared");
    let (store, claim) = claimed(&base);
    let other = Store::new(&base);
    let why = other.claim(None).unwrap_err();
    assert!(why.starts_with("another balancer has ") && why.contains("state_dir of its own"), "{why}");
    drop(store.claim(Some(claim)).unwrap());
    other.claim(None).unwrap();
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn a_store_that_cannot_be_written_to_says_so() {
    let base = scratch("refused");
    fs::write(base.join("acme"), "a file").unwrap();
    let why = Store::new(&base).claim(None).unwrap_err();
    assert!(why.contains("is no folder") && why.contains("allowed to write there"), "{why}");
    fs::remove_dir_all(base).unwrap();
}
