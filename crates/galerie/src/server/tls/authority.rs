//! The server's own certificate authority.
//!
//! `ca.json` holds its key and certificate, `server.json` those of the server, each one file so that a crash cannot part
//! them; `ca.pem` is a copy of the authority's certificate, for clients to trust. The authority is name-constrained
//! (RFC 5280, section 4.2.1.10): trusting it lets nobody impersonate any other site.
//!
//! Processes that share a catalogue share the authority in it; then there is no `ca.json`.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use galerie_control::Control;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Certificate, Names};
use crate::{durable, server::Error};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An authority is trusted by hand, so it lasts.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// No client in use takes more than 398 days from a public authority; a short one keeps renewal exercised.
const SERVER_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A third of the lifetime is left for clocks and for servers that were switched off.
const RENEW_BEFORE_END: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Certificates begin a day early, for clients whose clocks are behind.
const BACKDATED: Duration = DAY;

/// A key, its certificate, and what they are for.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    certificate_pem: String,
    key_pem: String,
    names: Names,
    /// Seconds since 1970.
    #[serde(default)]
    not_before_s: u64,
    not_after_s: u64,
    /// The end of the authority that signed it: another authority, another end.
    #[serde(default)]
    issuer: String,
}

/// The authority.
pub(super) struct Authority {
    issued: Issued,
}

impl Authority {
    /// The authority of this folder, if it may sign for `names` for long enough; a new one otherwise.
    pub(super) fn open(folder: &Path, names: &Names, now: SystemTime) -> Result<Self, Error> {
        make_folder(folder)?;
        let stored = read::<Issued>(&folder.join("ca.json"))?;
        let issued = match stored {
            Some(issued) if issued.names.include(names) && issued.is_valid(now, SERVER_LIFETIME) => issued,
            stored => {
                let issued = new_authority(names, now).map_err(|error| Error::tls("make an authority", error))?;
                write(&folder.join("ca.json"), &issued)?;
                if stored.is_some() {
                    tracing::warn!(
                        ca_file = %folder.join("ca.pem").display(),
                        "hosts or the clock have changed, or the authority has come to its end: clients must trust the new one"
                    );
                }
                issued
            }
        };
        let authority = Self { issued };
        authority.write_certificate(folder)?;
        Ok(authority)
    }

    /// The authority that the processes of a catalogue share, if it may sign for `names`, too; otherwise a new one that
    /// may. `ca.pem` in the folder is a copy of its certificate; its key is in the catalogue only, wrapped.
    pub(super) async fn of_catalogue(
        control: &Control,
        folder: &Path,
        names: &Names,
        now: SystemTime,
    ) -> Result<Self, Error> {
        make_folder(folder)?;
        let mut newest = control.authorities().await?.into_iter().next();
        loop {
            let stored = newest.as_ref().map(|found| parse_shared(&found.document)).transpose()?;
            let all = match stored {
                Some(issued) if issued.names.include(names) && issued.is_valid(now, SERVER_LIFETIME) => {
                    let authority = Self { issued };
                    authority.write_certificate(folder)?;
                    return Ok(authority);
                }
                Some(issued) => {
                    tracing::warn!(
                        ca_file = %folder.join("ca.pem").display(),
                        "the processes' authority may not sign for this one's names, or has come to its end: clients must \
                         trust a new one. List every process's names as hosts of each"
                    );
                    issued.names.and(names)
                }
                None => names.clone(),
            };
            let issued = new_authority(&all, now).map_err(|error| Error::tls("make an authority", error))?;
            let replaces = newest.as_ref().map(|found| found.id);
            newest = Some(control.keep_authority(&document(&issued), replaces).await?);
        }
    }

    /// The certificates of every authority that the processes of a catalogue have had, as PEM.
    pub(super) async fn certificates_of_catalogue(control: &Control) -> Result<Vec<String>, Error> {
        let all = control.authorities().await?;
        all.iter().map(|found| Ok(parse_shared(&found.document)?.certificate_pem)).collect()
    }

    fn write_certificate(&self, folder: &Path) -> Result<(), Error> {
        let path = self.certificate_file(folder);
        if std::fs::read_to_string(&path).ok().as_deref() == Some(&*self.issued.certificate_pem) {
            return Ok(());
        }
        durable::replace(&path, self.issued.certificate_pem.as_bytes(), 0o644)
            .map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// The authority's certificate, for clients.
    pub(super) fn certificate_file(&self, folder: &Path) -> PathBuf {
        folder.join("ca.pem")
    }

    /// The server's certificate: the one there while it is good, or a new one.
    pub(super) fn server_certificate(
        &self,
        folder: &Path,
        names: &Names,
        now: SystemTime,
    ) -> Result<Certificate, Error> {
        match read::<Issued>(&folder.join("server.json"))? {
            Some(issued) if self.is_good(&issued, names, now) => Ok(self.chain(issued)),
            _ => self.issue(folder, names, now),
        }
    }

    /// A new certificate when the one there comes to its end.
    pub(super) fn renew(
        &mut self,
        folder: &Path,
        names: &Names,
        now: SystemTime,
    ) -> Result<Option<Certificate>, Error> {
        match read::<Issued>(&folder.join("server.json"))? {
            Some(issued) if self.is_good(&issued, names, now) => Ok(None),
            _ => {
                *self = Self::open(folder, names, now)?;
                self.issue(folder, names, now).map(Some)
            }
        }
    }

    /// A new certificate, when the one in the folder comes to its end or is another authority's.
    pub(super) fn renewed_certificate(
        &self,
        folder: &Path,
        names: &Names,
        now: SystemTime,
    ) -> Result<Option<Certificate>, Error> {
        match read::<Issued>(&folder.join("server.json"))? {
            Some(issued) if self.is_good(&issued, names, now) => Ok(None),
            _ => self.issue(folder, names, now).map(Some),
        }
    }

    fn is_good(&self, issued: &Issued, names: &Names, now: SystemTime) -> bool {
        issued.names == *names && issued.is_valid(now, RENEW_BEFORE_END) && issued.issuer == self.issued.certificate_pem
    }

    fn issue(&self, folder: &Path, names: &Names, now: SystemTime) -> Result<Certificate, Error> {
        let issued = self.sign(names, now).map_err(|error| Error::tls("issue the server's certificate", error))?;
        write(&folder.join("server.json"), &issued)?;
        Ok(self.chain(issued))
    }

    fn sign(&self, names: &Names, now: SystemTime) -> Result<Issued, rcgen::Error> {
        let authority_key = KeyPair::from_pem(&self.issued.key_pem)?;
        let issuer = Issuer::from_ca_cert_pem(&self.issued.certificate_pem, authority_key)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        let (not_before_s, not_after_s) = set_validity(&mut params, now, SERVER_LIFETIME);
        params.distinguished_name.push(DnType::CommonName, "Galerie server");
        params.subject_alt_names = names.dns.iter().map(|name| dns_name(name)).collect::<Result<Vec<_>, _>>()?;
        params.subject_alt_names.extend(names.ip.iter().copied().map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            names: names.clone(),
            not_before_s,
            not_after_s,
            issuer: self.issued.certificate_pem.clone(),
        })
    }

    fn chain(&self, issued: Issued) -> Certificate {
        let chain_pem = format!("{}{}", issued.certificate_pem, self.issued.certificate_pem);
        Certificate { chain_pem, key_pem: issued.key_pem }
    }
}

impl Issued {
    /// Whether it is valid now and for a time. One that was made while the clock was ahead may not have begun.
    fn is_valid(&self, now: SystemTime, time: Duration) -> bool {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        at(self.not_before_s) <= now && at(self.not_after_s) > now + time
    }
}

fn new_authority(names: &Names, now: SystemTime) -> Result<Issued, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    let (not_before_s, not_after_s) = set_validity(&mut params, now, AUTHORITY_LIFETIME);
    // A name of its own, so that two of them in one trust store are not taken for each other.
    let (mark, ..) = Uuid::new_v4().as_fields();
    params.distinguished_name.push(DnType::CommonName, format!("Galerie authority {mark:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let dns = names.dns.iter().cloned().map(GeneralSubtree::DnsName);
    let ip = names.ip.iter().map(|ip| {
        let prefix = if ip.is_ipv4() { 32 } else { 128 };
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, prefix))
    });
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: dns.chain(ip).collect(), excluded_subtrees: Vec::new() });
    let certificate = params.self_signed(&key)?;
    Ok(Issued {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        names: names.clone(),
        not_before_s,
        not_after_s,
        issuer: String::new(),
    })
}

/// Beginning and end, in seconds since 1970.
fn set_validity(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) -> (u64, u64) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    let (not_before, not_after) = (now - BACKDATED, now + lifetime);
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    (seconds(not_before), seconds(not_after))
}

fn dns_name(name: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::DnsName(name.try_into()?))
}

/// `None` when there is no such file.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::tls(format!("read {}; remove the file to have a new one made", path.display()), error)
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("read {}", path.display()), error)),
    }
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::io(format!("create {}", folder.display()), error))
}

fn parse_shared(document: &[u8]) -> Result<Issued, Error> {
    serde_json::from_slice(document).map_err(|error| Error::tls("read the authority in the catalogue", error))
}

fn document(issued: &Issued) -> Vec<u8> {
    serde_json::to_vec_pretty(issued).expect("strings and numbers become JSON")
}

fn write(path: &Path, issued: &Issued) -> Result<(), Error> {
    durable::replace(path, &document(issued), 0o600)
        .map_err(|error| Error::io(format!("write {}", path.display()), error))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    };

    use super::*;
    use crate::server::config::Host;

    fn names(hosts: &[&str]) -> Names {
        let hosts: Vec<_> = hosts.iter().map(|host| Host::try_from((*host).to_owned()).unwrap()).collect();
        Names::of(&hosts, "127.0.0.1:8443".parse().unwrap())
    }

    fn certificate(folder: &Path, names: &Names, now: SystemTime) -> (Authority, Certificate) {
        let authority = Authority::open(folder, names, now).unwrap();
        let certificate = authority.server_certificate(folder, names, now).unwrap();
        (authority, certificate)
    }

    /// Verifies as our own client does.
    fn verify(ca_pem: &str, certificate: &Certificate, host: &str, now: SystemTime) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes()).map(Result::unwrap).collect();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
        verifier
            .verify_server_cert(&chain[0], &chain[1..], &name, &[], now)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_certificate_is_good_for_each_name_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let (authority, certificate) = certificate(folder.path(), &names(&["gallery.example.com", "10.1.2.3"]), now);
        let ca = &authority.issued.certificate_pem;
        for host in ["localhost", "127.0.0.1", "::1", "gallery.example.com", "10.1.2.3"] {
            assert_eq!(verify(ca, &certificate, host, now), Ok(()), "{host}");
        }
        assert!(verify(ca, &certificate, "example.com", now).is_err());
        assert_eq!(std::fs::read_to_string(folder.path().join("ca.pem")).unwrap(), *ca);
        for file in ["ca.json", "server.json"] {
            assert_eq!(folder.path().join(file).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_authority_cannot_vouch_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let (authority, _) = certificate(folder.path(), &names(&[]), now);
        let foreign = authority.sign(&names(&["bank.example.com"]), now).unwrap();
        let foreign = authority.chain(foreign);
        let error = verify(&authority.issued.certificate_pem, &foreign, "bank.example.com", now).unwrap_err();
        assert!(error.contains("NameConstraint"), "{error}");
    }

    #[test]
    fn a_restart_keeps_the_certificate_until_it_nears_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (names, now) = (names(&[]), SystemTime::now());
        let (first_authority, first) = certificate(folder.path(), &names, now);
        let (_, again) = certificate(folder.path(), &names, now + 59 * DAY);
        assert_eq!(first.chain_pem, again.chain_pem);
        let (mut authority, renewed) = certificate(folder.path(), &names, now + 61 * DAY);
        assert_ne!(first.chain_pem, renewed.chain_pem);
        assert_eq!(authority.issued.certificate_pem, first_authority.issued.certificate_pem);
        assert!(authority.renew(folder.path(), &names, now + 62 * DAY).unwrap().is_none());
        let running = authority.renew(folder.path(), &names, now + 200 * DAY).unwrap().unwrap();
        assert_eq!(verify(&authority.issued.certificate_pem, &running, "localhost", now + 200 * DAY), Ok(()));
    }

    #[test]
    fn new_hosts_need_a_new_authority_and_old_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let (first, _) = certificate(folder.path(), &names(&["a.example", "b.example"]), now);
        let (fewer, certificate_fewer) = certificate(folder.path(), &names(&["a.example"]), now);
        assert_eq!(first.issued.certificate_pem, fewer.issued.certificate_pem);
        assert!(verify(&fewer.issued.certificate_pem, &certificate_fewer, "b.example", now).is_err());
        let (more, certificate_more) = certificate(folder.path(), &names(&["c.example"]), now);
        assert_ne!(first.issued.certificate_pem, more.issued.certificate_pem);
        assert_eq!(verify(&more.issued.certificate_pem, &certificate_more, "c.example", now), Ok(()));
    }

    /// Regression: a certificate that was made while the clock was days ahead was kept when the clock was put right, though
    /// no client takes one that has not begun.
    #[test]
    fn a_certificate_that_has_not_begun_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (names, now) = (names(&[]), SystemTime::now());
        certificate(folder.path(), &names, now + 3 * DAY);
        let (authority, right) = certificate(folder.path(), &names, now);
        assert_eq!(verify(&authority.issued.certificate_pem, &right, "localhost", now), Ok(()));
    }

    /// The authority of a catalogue signs for its processes; one with a name of its own makes a new one, and the others follow.
    #[tokio::test]
    async fn processes_share_an_authority() {
        let gallery = galerie_testkit::Gallery::start().await;
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let now = SystemTime::now();
        let open = async |folder: &tempfile::TempDir, names: &Names| {
            Authority::of_catalogue(&gallery.control, folder.path(), names, now).await.unwrap()
        };
        let both = names(&["a.example", "b.example"]);
        let (one, two) = (open(&folders[0], &both).await, open(&folders[1], &names(&["b.example"])).await);
        assert_eq!(one.issued.certificate_pem, two.issued.certificate_pem);
        let certificate = two.server_certificate(folders[1].path(), &names(&["b.example"]), now).unwrap();
        assert_eq!(verify(&one.issued.certificate_pem, &certificate, "b.example", now), Ok(()));
        assert!(!folders[0].path().join("ca.json").exists(), "its key is in the catalogue");

        let three = open(&folders[2], &names(&["c.example"])).await;
        assert_ne!(three.issued.certificate_pem, one.issued.certificate_pem);
        let again = open(&folders[1], &names(&["b.example"])).await;
        assert_eq!(again.issued.certificate_pem, three.issued.certificate_pem, "it may sign for all that were there");
        let renewed = again.renewed_certificate(folders[1].path(), &names(&["b.example"]), now).unwrap().unwrap();
        assert_eq!(verify(&three.issued.certificate_pem, &renewed, "b.example", now), Ok(()));
        assert_eq!(std::fs::read_to_string(folders[1].path().join("ca.pem")).unwrap(), three.issued.certificate_pem);
        let trusted = Authority::certificates_of_catalogue(&gallery.control).await.unwrap();
        assert_eq!(trusted, [three.issued.certificate_pem, one.issued.certificate_pem], "until all have followed");
    }
}
