//! A page of a list, made from the ranges of keys that its reader sees.
//!
//! Ranges are read in order until the page is full. Most are small, and many may be empty, so a page reads a bounded number of
//! them (`authz::Visible`), full or not, and the next one goes on there: every page costs about the same.

use crate::authz::KeyRange;

/// Resources on a page of a list.
pub(crate) const PAGE_ITEMS: u32 = 100;
/// Single keys that one query looks up: a page of them and a few that are not there.
const KEYS_AT_ONCE: usize = 128;

/// What one query reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Range(&'a KeyRange),
    /// Each is a range by itself.
    Keys(Vec<&'a str>),
}

/// What is read for some ranges, in their order.
pub(crate) fn parts(ranges: &[KeyRange]) -> impl Iterator<Item = Part<'_>> {
    let alike = ranges.chunk_by(|one, next| one.is_one() && next.is_one());
    alike.flat_map(|run| run.chunks(KEYS_AT_ONCE)).map(|run| match run {
        [range] if !range.is_one() => Part::Range(range),
        keys => Part::Keys(keys.iter().map(|key| key.first.as_str()).collect()),
    })
}

/// Cuts what was read to a page. `ends_at`: the key up to which everything was read, when it was not everything. Answers
/// the key after which the next page starts, if there is one.
pub(crate) fn cut<T>(rows: &mut Vec<T>, key_of: impl Fn(&T) -> &str, ends_at: Option<&str>) -> Option<String> {
    if let Some(ends_at) = ends_at {
        rows.retain(|row| key_of(row) <= ends_at);
    }
    if rows.len() > PAGE_ITEMS as usize {
        rows.truncate(PAGE_ITEMS as usize);
        return rows.last().map(|row| key_of(row).to_owned());
    }
    ends_at.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_keys_are_read_together() {
        let below = KeyRange::below("/b");
        let many: Vec<KeyRange> = (0..=KEYS_AT_ONCE).map(|key| KeyRange::one(&format!("/c{key:03}"))).collect();
        let all = [&[KeyRange::one("/a"), below.clone(), KeyRange::below("/b0")], many.as_slice()].concat();
        let found: Vec<Part<'_>> = parts(&all).collect();
        let [Part::Keys(first), Part::Range(second), Part::Range(_), Part::Keys(full), Part::Keys(last)] = &found[..]
        else {
            panic!("{found:?}")
        };
        assert_eq!((first.as_slice(), *second), (&["/a"][..], &below));
        assert_eq!((full.len(), full[0], last.as_slice()), (KEYS_AT_ONCE, "/c000", &["/c128"][..]));
    }

    #[test]
    fn a_page_is_cut_at_its_size_or_where_reading_ended() {
        let keys = |count: usize| (0..count).map(|number| format!("/{number:05}")).collect::<Vec<_>>();
        let mut rows = keys(3);
        assert_eq!(cut(&mut rows, |row| row, None), None);
        assert_eq!(cut(&mut rows, |row| row, Some("/00001")), Some("/00001".to_owned()));
        assert_eq!(rows.len(), 2);
        let mut rows = keys(PAGE_ITEMS as usize + 1);
        assert_eq!(cut(&mut rows, |row| row, Some("/99999")), Some(format!("/{:05}", PAGE_ITEMS - 1)));
        assert_eq!(rows.len(), PAGE_ITEMS as usize);
    }
}
