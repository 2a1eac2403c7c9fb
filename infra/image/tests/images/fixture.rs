//! Builds layers, images and layouts.

use image::{Image, Images};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use tar::{EntryType, Header};

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// An archive being written, byte for byte as told: nothing here refuses a hostile name.
#[derive(Default)]
pub(crate) struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    pub(crate) fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        link: &str,
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path, "", 0o644, content.as_bytes())
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", 0o755, b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, 0o777, b"")
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, 0o644, b"")
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length =
                (1..4).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
            content.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.entry(EntryType::XHeader, "pax", "", 0o644, &content)
    }

    pub(crate) fn owned(mut self, uid: u64) -> Self {
        // Changes the owner of the last header, which must have no content.
        let at = self.bytes.len() - 512;
        let mut header = Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&self.bytes[at..]);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_cksum();
        self.bytes[at..].copy_from_slice(header.as_bytes());
        self
    }

    pub(crate) fn tar(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

pub(crate) fn pack(tar: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => tar.to_vec(),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(tar, 1).unwrap(),
    }
}

/// An image's blobs by digest, and its manifest's digest.
#[derive(Clone, Default)]
pub(crate) struct Built {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) manifest: String,
    pub(crate) layers: Vec<String>,
}

pub(crate) fn build(layers: &[Vec<u8>], packing: Packing) -> Built {
    let mut built = Built::default();
    let diffs: Vec<String> = layers.iter().map(|tar| digest(tar)).collect();
    let packed: Vec<Vec<u8>> = layers.iter().map(|tar| pack(tar, packing)).collect();
    let config = serde_json::json!({
        "architecture": "any", "os": "linux",
        "config": {
            "Entrypoint": ["/bin/tool"], "Cmd": null, "Env": ["A=b"], "User": "1000:1000", "WorkingDir": "/w",
            "Labels": {"l": "m"}, "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT"
        },
        "rootfs": {"type": "layers", "diff_ids": diffs},
    });
    built.layers = packed.iter().map(|blob| digest(blob)).collect();
    let config = built.add(config.to_string().into_bytes());
    let layers: Vec<_> = packed.into_iter().map(|blob| built.add(blob)).collect();
    built.manifest =
        built.document(&serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers}));
    built
}

impl Built {
    /// Adds a blob and gives its descriptor.
    pub(crate) fn add(&mut self, bytes: Vec<u8>) -> serde_json::Value {
        let (name, size) = (digest(&bytes), bytes.len());
        self.blobs.insert(name.clone(), bytes);
        serde_json::json!({"mediaType": "application/octet-stream", "digest": name, "size": size})
    }

    /// Adds a manifest or an index and gives its digest.
    pub(crate) fn document(&mut self, value: &serde_json::Value) -> String {
        self.add(value.to_string().into_bytes())["digest"].as_str().unwrap().to_owned()
    }

    /// Writes an OCI layout.
    pub(crate) fn layout(&self, dir: &Path) {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        for (name, bytes) in &self.blobs {
            fs::write(dir.join("blobs/sha256").join(&name[7..]), bytes).unwrap();
        }
        let size = self.blobs[&self.manifest].len();
        let index =
            serde_json::json!({"schemaVersion": 2, "manifests": [{"digest": self.manifest, "size": size}]});
        fs::write(dir.join("index.json"), index.to_string()).unwrap();
        fs::write(dir.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    }
}

/// Images in a directory of their own.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) images: Images,
}

pub(crate) fn place() -> Place {
    // A layer's archive would be unpacked with fewer rights otherwise, and the test would not show what happens.
    assert!(rustix::process::geteuid().is_root(), "these tests need root");
    let dir = tempfile::tempdir().unwrap();
    let images = Images::open(dir.path().join("images")).unwrap();
    Place { dir, images }
}

impl Place {
    pub(crate) async fn import(&self, layers: Vec<Vec<u8>>) -> Result<Image, image::Error> {
        let layout = self.dir.path().join("layout");
        build(&layers, Packing::Plain).layout(&layout);
        let imported = self.images.import(&layout, "local/test:1").await;
        fs::remove_dir_all(layout).unwrap();
        imported
    }

    /// Imports one layer and gives its directory.
    pub(crate) async fn layer(&self, layer: Layer) -> PathBuf {
        self.import(vec![layer.tar()]).await.unwrap().lowers[0].clone()
    }

    /// Imports one layer that must be refused, and gives the reason.
    pub(crate) async fn refused(&self, layer: Layer) -> String {
        let error = self.import(vec![layer.tar()]).await.unwrap_err();
        assert!(matches!(error, image::Error::Invalid { .. }), "{error}");
        assert_eq!(self.children("layers"), 0, "a refused layer leaves nothing");
        assert_eq!(self.children("tmp"), 0, "a refused layer leaves nothing");
        error.to_string()
    }

    pub(crate) fn children(&self, name: &str) -> usize {
        fs::read_dir(self.dir.path().join("images").join(name)).unwrap().count()
    }
}
