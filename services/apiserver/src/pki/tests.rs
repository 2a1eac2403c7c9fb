use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn listen() -> IpAddr {
    IpAddr::from([127, 0, 0, 7])
}

#[test]
fn keys_are_private_and_certificates_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let first = Pki::ensure(dir.path(), listen(), now).unwrap();
    first.serving(now).unwrap();
    for name in ["ca.key", "admin.key", "apiserver.key"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let second = Pki::ensure(dir.path(), listen(), now).unwrap();
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_eq!(first.admin().cert, second.admin().cert);
}

#[test]
fn certificates_near_their_end_are_renewed_under_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let first = Pki::ensure(dir.path(), listen(), now).unwrap();
    let (cert, due) = first.serving(now).unwrap();
    assert!(due - now.as_second() > 300 * DAY);
    let later = shifted(now, 400);
    let second = Pki::ensure(dir.path(), listen(), later).unwrap();
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_ne!(first.admin().cert, second.admin().cert);
    assert_ne!(cert.cert, second.serving(later).unwrap().0.cert);
}

#[test]
fn a_new_listen_address_is_added_to_the_serving_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let first = Pki::ensure(dir.path(), listen(), now).unwrap().serving(now).unwrap().0;
    let other = IpAddr::from([127, 0, 0, 8]);
    let second = Pki::ensure(dir.path(), other, now).unwrap().serving(now).unwrap().0;
    assert_ne!(first.cert, second.cert);
}

#[test]
fn every_name_that_is_asked_for_is_in_the_serving_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let names = ["box.example".to_owned(), "10.1.2.3".to_owned()];
    let pki = Pki::ensure_for(dir.path(), [0, 0, 0, 0].into(), &names, now).unwrap();
    let (cert, _) = pki.serving(now).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&cert.cert[0]).unwrap();
    let shown = format!("{:?}", parsed.subject_alternative_name().unwrap().unwrap().value);
    assert!(shown.contains("box.example") && shown.contains("[10, 1, 2, 3]"), "{shown}");
}

#[test]
fn the_key_that_signs_tokens_is_private_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let first = Pki::ensure(dir.path(), listen(), now).unwrap().signing_key().unwrap();
    let path = dir.path().join("sa.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Pki::ensure(dir.path(), listen(), now).unwrap().signing_key().unwrap(), first);
    // A damaged key is an error: a new one would silently end all tokens.
    std::fs::write(&path, "nothing").unwrap();
    assert!(Pki::ensure(dir.path(), listen(), now).unwrap().signing_key().is_err());
}

#[test]
fn a_lost_authority_replaces_everything_it_signed() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let first = Pki::ensure(dir.path(), listen(), now).unwrap();
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let second = Pki::ensure(dir.path(), listen(), now).unwrap();
    assert_ne!(first.ca_pem(), second.ca_pem());
    assert_ne!(first.admin().cert, second.admin().cert);
}
