//! Random tar archives, as different programs write them, and what is in one according to another library.

use std::collections::BTreeSet;
use std::io::Read;

use proptest::collection::vec;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use crate::domain::Record;
use crate::split::member::MemberPath;
use crate::split::tar::header_of;

/// How a file, or what stands beside files, is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Gnu,
    Ustar,
    Pax,
    Ours,
    Folder,
    Global,
    Link,
}

/// The entry of a tar.
fn entry(form: Form, name: &str, data: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let (mut gnu, mut ustar) = (Header::new_gnu(), Header::new_ustar());
    for header in [&mut gnu, &mut ustar] {
        header.set_size(data.len() as u64);
        header.set_mode(0o640);
    }
    match form {
        Form::Ustar if ustar.set_path(name).is_ok() => {
            ustar.set_cksum();
            builder.append(&ustar, data).unwrap();
        }
        Form::Pax => {
            let (len, note) = (data.len().to_string(), "x".repeat(data.len() % 700));
            let attributes = [("path", name.as_bytes()), ("size", len.as_bytes()), ("comment", note.as_bytes())];
            builder.append_pax_extensions(attributes).unwrap();
            // What counts is in the attributes.
            ustar.set_path("short").unwrap();
            ustar.set_cksum();
            builder.append(&ustar, data).unwrap();
        }
        Form::Gnu | Form::Ustar => builder.append_data(&mut gnu, name, data).unwrap(),
        Form::Ours => {
            let mut entry = header_of(&MemberPath::new(name.as_bytes()).unwrap(), data.len() as u64);
            entry.extend(data);
            entry.resize(entry.len().next_multiple_of(512), 0);
            return entry;
        }
        Form::Folder => {
            gnu.set_entry_type(EntryType::Directory);
            gnu.set_size(0);
            builder.append_data(&mut gnu, format!("{name}/"), &[][..]).unwrap();
        }
        Form::Global => {
            let text = b"19 comment=nothing\n";
            ustar.set_entry_type(EntryType::XGlobalHeader);
            ustar.set_size(text.len() as u64);
            ustar.set_path("pax_global_header").unwrap();
            ustar.set_cksum();
            builder.append(&ustar, &text[..]).unwrap();
        }
        Form::Link => {
            gnu.set_entry_type(EntryType::Symlink);
            gnu.set_size(0);
            builder.append_link(&mut gnu, name, "elsewhere").unwrap();
        }
    }
    let mut bytes = builder.into_inner().unwrap();
    // Without the end of an archive.
    bytes.truncate(bytes.len() - 1024);
    bytes
}

/// Archives; `in_order`: with a file in them, and nothing that is refused.
pub(in crate::split) fn archives(in_order: bool) -> impl Strategy<Value = (Record, Vec<u8>)> {
    let form = prop_oneof![
        3 => prop::sample::select(vec![Form::Gnu, Form::Ustar, Form::Pax, Form::Ours]),
        1 => prop::sample::select(vec![Form::Folder, Form::Global, if in_order { Form::Folder } else { Form::Link }]),
    ];
    let name = prop_oneof![3 => "[a-z é]{1,9}", 1 => "[a-z]{90,110}", 1 => "[a-z]{60}/[a-z]{60}/[a-zé]{40}"];
    let len = prop_oneof![Just(0usize), Just(512), 1..600usize, 1..3000usize];
    let entries = vec((form, name, len, any::<u8>()), 0..7);
    (entries, 0..5usize, any::<bool>()).prop_map(move |(entries, blocks, twice)| {
        let mut entries: Vec<_> = entries
            .into_iter()
            .enumerate()
            .map(|(no, (form, name, len, byte))| entry(form, &format!("{no}/{name}"), &vec![byte; len]))
            .collect();
        if in_order {
            entries.push(entry(Form::Gnu, "z", b"last"));
        } else if twice && !entries.is_empty() {
            entries.push(entries[0].clone());
        }
        (Record::Files, [entries.concat(), vec![0; 512 * blocks]].concat())
    })
}

/// Archives with a few wrong bytes, or cut off.
pub(super) fn damaged_archives() -> impl Strategy<Value = (Record, Vec<u8>)> {
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (archives(false), damage, any::<prop::sample::Index>(), any::<bool>()).prop_map(|((record, mut bytes), damage, end, cut)| {
        if !bytes.is_empty() {
            damage.into_iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = byte);
            bytes.truncate(if cut { end.index(bytes.len()) } else { bytes.len() });
        }
        (record, bytes)
    })
}

/// Where the files end, by crate `tar`; none if there is anything but files and folders, or a file twice.
pub(super) fn files(data: &[u8]) -> Option<Vec<u64>> {
    let mut archive = tar::Archive::new(data);
    let (mut ends, mut names) = (Vec::new(), BTreeSet::new());
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        match entry.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Regular => {}
            _ => return None,
        }
        let len = entry.read_to_end(&mut Vec::new()).ok()? as u64;
        ends.push((entry.raw_file_position() + len).next_multiple_of(512));
        names.insert(entry.path_bytes().into_owned()).then_some(())?;
    }
    (!ends.is_empty()).then_some(ends)
}
