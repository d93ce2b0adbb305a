//! Takes phones, e-mails and tokens out of texts that are kept or shown.

use std::borrow::Cow;

/// How much of an answer is kept, in characters.
const KEPT: usize = 500;

/// Runs of this many digits and more are masked: phones and ids alike, since they cannot be told apart.
const DIGITS: usize = 8;

/// Runs of letters and digits of this length and more are taken for tokens.
const TOKEN: usize = 24;

/// Where no phone, e-mail or token goes on.
const ENDS: &str = "\"'<>,;:&=/\\|[]{}\n\t";

/// Makes a text fit to be kept: no phone, e-mail or token, at most 500 characters.
pub fn redact(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(KEPT * 2));
    // Masked before it is cut, so that no cut leaves half of a number; only the part that can matter is looked at.
    for piece in pieces(&text.chars().take(KEPT * 4).collect::<String>()) {
        kept.push_str(&masked(piece));
    }
    if kept.chars().count() > KEPT {
        kept = kept.chars().take(KEPT - 1).collect();
        kept.push('…');
    }
    kept
}

/// Splits a text where no phone, e-mail or token can go on, keeping every character.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(|c: char| ENDS.contains(c))
}

fn masked(piece: &str) -> String {
    let words: String = piece.split_inclusive(' ').map(word_masked).collect();
    digits(&words)
}

/// Masks a word that is an e-mail address or a token.
fn word_masked(word: &str) -> Cow<'_, str> {
    let core = word.trim_end_matches(|c| ENDS.contains(c) || c == ' ');
    let end = &word[core.len()..];
    if core.contains('@') {
        return format!("***@***{end}").into();
    }
    if longest(core, |c| c.is_ascii_alphanumeric() || "_-.".contains(c)) >= TOKEN {
        return format!("***{end}").into();
    }
    word.into()
}

fn longest(text: &str, part: impl Fn(char) -> bool) -> usize {
    text.split(|c| !part(c)).map(str::len).max().unwrap_or(0)
}

/// Masks runs of eight and more digits, and such as begin like a phone though blanks, points or hyphens part them.
fn digits(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let (plain, _) = run(&chars[at..], "");
        let (parted, count) = run(&chars[at..], " .-()");
        let like_a_phone = chars[at] == '0'
            || (at > 0 && chars[at - 1] == '+')
            || (chars[at] == '8' && chars.get(at + 1) == Some(&'4'));
        let length = if like_a_phone && count > DIGITS { parted } else { plain };
        if length >= DIGITS {
            out.push_str("***");
        } else {
            out.extend(&chars[at..at + length]);
        }
        at += length;
    }
    out
}

/// The length of a run of digits with at most two separators between them, and how many of it are digits.
fn run(chars: &[char], separators: &str) -> (usize, usize) {
    let (mut end, mut count, mut gap) = (0, 0, 0);
    for (at, c) in chars.iter().enumerate() {
        if c.is_ascii_digit() {
            (end, count, gap) = (at + 1, count + 1, 0);
        } else if separators.contains(*c) && gap < 2 {
            gap += 1;
        } else {
            break;
        }
    }
    (end, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_mails_and_tokens_are_masked_and_words_are_kept() {
        for (text, kept) in [
            ("Số điện thoại 0912000001 đã tồn tại", "Số điện thoại *** đã tồn tại"),
            ("0912 000 001 đã có", "*** đã có"),
            ("gọi +84912.000.001!", "gọi +***!"),
            ("tel:\"84912000001\"", "tel:\"***\""),
            ("mau@example.com sai", "***@*** sai"),
            ("token=0123456789abcdef0123456789abcdef&x=1", "token=***&x=1"),
            ("Mã AT-S đã trùng ", "Mã AT-S đã trùng "),
            ("giá 120000, còn 2.5", "giá 120000, còn 2.5"),
            ("ngày 2026-03-02", "ngày 2026-03-02"),
        ] {
            assert_eq!(redact(text), kept, "{text}");
        }
    }

    #[test]
    fn a_long_answer_is_cut_and_no_cut_shows_half_a_number() {
        let cut = redact(&format!("{} 0912000001", "á".repeat(495)));
        assert!(cut.chars().count() <= KEPT, "{cut}");
        assert!(!cut.contains("09"), "{cut}");
    }
}
