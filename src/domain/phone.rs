//! Phone numbers as keys: every written form of one number is one key, and doubtful text is none.
//!
//! Sapo Web carries `+84…`, Sapo Omni `0…`, and people type anything: the same person must match in all of them.
//! A wrong key would join two people, so what cannot be read with certainty is refused with its reason.

use std::fmt;

/// A phone number in E.164, the key by which a customer is recognised.
///
/// `Display` and `Debug` show it masked, so that a log cannot hold it by mistake.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone(String);

impl Phone {
    /// Reads a number in any of its written forms.
    ///
    /// Vietnamese numbers may start with `0`, `+84`, `84`, `0084` or `+84 (0)`, or may have lost their zero;
    /// foreign ones need their `+`. Numbers from before 2018 move to their new prefix.
    ///
    /// # Errors
    /// Says why the text is not a key.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let text = fold(text);
        if text.chars().all(|c| is_blank(c) || is_divider(c)) {
            return Err(NotAKey::Empty);
        }
        if is_service_code(&text) {
            return Err(NotAKey::ShortCode);
        }
        if is_masked(&text) {
            return Err(NotAKey::Masked);
        }
        let parts = parts(&text);
        if parts.iter().filter(|part| read(part).is_ok()).count() > 1 {
            return Err(NotAKey::TwoNumbers);
        }
        if text.chars().any(char::is_alphabetic) {
            return Err(NotAKey::Words);
        }
        let strange = text.chars().any(|c| !is_written(c) && !is_divider(c));
        if strange || parts.iter().any(|part| !part.contains(|c: char| c.is_ascii_digit())) {
            return Err(NotAKey::Malformed);
        }
        match parts.as_slice() {
            [part] => read(part),
            _ => Err(NotAKey::TwoNumbers),
        }
    }

    /// The number in E.164: `+84981234567`.
    pub fn as_e164(&self) -> &str {
        &self.0
    }

    /// The number as it is dialled in Vietnam: `0981234567`; a foreign one stays in E.164.
    pub fn national(&self) -> String {
        match self.significant() {
            Some(significant) => format!("0{significant}"),
            None => self.0.clone(),
        }
    }

    /// The forms to try, in this order, where a system searches for a part of what was typed.
    ///
    /// The digits without their lead are part of `0…`, `84…` and `+84…` alike. Where the prefix moved in 2018 the old
    /// number follows in the same two forms: it is what an old customer's record still holds.
    pub fn search_forms(&self) -> Vec<String> {
        let Some(significant) = self.significant() else {
            return vec![self.0.clone(), self.0[1..].to_owned()];
        };
        let mut forms = vec![format!("0{significant}"), significant.to_owned()];
        let (prefix, rest) = significant.split_at(2);
        if let Some((old, _)) = MOVED.iter().find(|(_, new)| *new == prefix && rest.len() == 7) {
            forms.push(format!("0{old}{rest}"));
            forms.push(format!("{old}{rest}"));
        }
        forms
    }

    /// The Vietnamese number without country code and zero; `None` for a foreign one.
    fn significant(&self) -> Option<&str> {
        self.0.strip_prefix("+84")
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.significant().is_some() { 3 } else { 1 };
        let (lead, rest) = self.0.split_at(shown);
        // At least six digits follow the lead of any key.
        let (hidden, tail) = rest.split_at(rest.len() - 3);
        write!(f, "{lead}{}{tail}", "*".repeat(hidden.len()))
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.reason())]
pub enum NotAKey {
    /// Nothing, or nothing but blanks and dashes.
    Empty,
    /// Digits are hidden: `09******12`.
    Masked,
    /// More than one number in the field.
    TwoNumbers,
    /// A short or service number, which is nobody's own: `113`, `19001234`, `*101#`.
    ShortCode,
    /// Words, with or without a number.
    Words,
    /// Digits that no number of a person has.
    Malformed,
}

impl NotAKey {
    /// The stable word for this refusal in metrics, logs and stored outcomes.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "phone_empty",
            Self::Masked => "phone_masked",
            Self::TwoNumbers => "phone_two_numbers",
            Self::ShortCode => "phone_short_code",
            Self::Words => "phone_words",
            Self::Malformed => "phone_malformed",
        }
    }

    /// Says in English what is wrong and what mends it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "the customer has no phone number",
            Self::Masked => "the phone number is masked; enter all of its digits",
            Self::TwoNumbers => "there is more than one phone number in the field; keep one",
            Self::ShortCode => "a short or service number is nobody's own; enter the customer's number",
            Self::Words => "there are words in the phone field; keep the number alone",
            Self::Malformed => {
                "this is not a phone number; Vietnamese ones have 10 digits (landlines up to 11), foreign ones start with +"
            }
        }
    }

    /// Says the same in Vietnamese.
    pub fn reason_vi(self) -> &'static str {
        match self {
            Self::Empty => "khách không có số điện thoại",
            Self::Masked => "số điện thoại bị che; hãy nhập đủ các chữ số",
            Self::TwoNumbers => "ô số điện thoại có nhiều hơn một số; hãy giữ lại một số",
            Self::ShortCode => "đây là đầu số ngắn hoặc tổng đài; hãy nhập số của khách",
            Self::Words => "ô số điện thoại có chữ; hãy chỉ để lại số",
            Self::Malformed => {
                "không phải số điện thoại hợp lệ; số Việt Nam có 10 chữ số (số cố định tối đa 11), số nước ngoài bắt đầu bằng dấu +"
            }
        }
    }
}

/// Prefixes of eleven-digit mobile numbers and what they became in 2018, without the zero.
const MOVED: [(&str, &str); 21] = [
    ("120", "70"),
    ("121", "79"),
    ("122", "77"),
    ("126", "76"),
    ("128", "78"),
    ("123", "83"),
    ("124", "84"),
    ("125", "85"),
    ("127", "81"),
    ("129", "82"),
    ("162", "32"),
    ("163", "33"),
    ("164", "34"),
    ("165", "35"),
    ("166", "36"),
    ("167", "37"),
    ("168", "38"),
    ("169", "39"),
    ("186", "56"),
    ("188", "58"),
    ("199", "59"),
];

/// Writes full-width forms as ASCII and drops marks that cannot be seen.
fn fold(text: &str) -> String {
    let ascii = |c: char| match c {
        // The full-width block repeats ASCII at a fixed distance.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    };
    let unseen = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    text.chars().filter(|c| !unseen(*c)).map(ascii).collect()
}

/// What people put between the digits of one number.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '.' | '-' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// What people put between two numbers.
fn is_divider(c: char) -> bool {
    matches!(c, ',' | ';' | '/' | '\\' | '|' | '&')
}

/// What one number may be written with.
fn is_written(c: char) -> bool {
    c.is_ascii_digit() || c == '+' || is_blank(c)
}

/// A code dialled to the network: `*101#`.
fn is_service_code(text: &str) -> bool {
    let inner = text.trim().strip_prefix('*').and_then(|rest| rest.strip_suffix('#'));
    inner.is_some_and(|inner| inner.chars().all(|c| c.is_ascii_digit() || c == '*'))
}

/// Digits replaced by stars, bullets, a run of `x`, `#` or dots.
fn is_masked(text: &str) -> bool {
    let crossed = ["xx", "XX"].iter().any(|run| text.contains(run))
        && text.chars().all(|c| matches!(c, 'x' | 'X') || !c.is_alphabetic());
    crossed
        || text.contains(['*', '•', '●', '∙', '…'])
        || text.contains("##")
        || (text.contains("...") && text.chars().any(|c| c.is_ascii_digit()))
}

/// The pieces of a field that could each be a number: cut at dividers, at words, and before every `+`.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in text.chars() {
        if !is_written(c) || c == '+' {
            parts.push(String::new());
        }
        if is_written(c)
            && let Some(part) = parts.last_mut()
        {
            part.push(c);
        }
    }
    parts.retain(|part| part.contains(|c: char| c.is_ascii_digit() || c == '+'));
    parts
}

/// Reads one piece, written with digits, blanks and at most a leading `+`.
fn read(part: &str) -> Result<Phone, NotAKey> {
    let international = part.contains('+');
    // `+84 (0)98…`: the zero in brackets is dialled only inside the country.
    let part = if international { part.replacen("(0)", "", 1) } else { part.to_owned() };
    let digits: String = part.chars().filter(char::is_ascii_digit).collect();
    let found = if international { with_plus(&digits) } else { without_plus(&digits) };
    match found {
        Err(NotAKey::Malformed) if holds_several(&digits) => Err(NotAKey::TwoNumbers),
        other => other,
    }
}

/// Reads the digits after a `+`: a Vietnamese number, or 7 to 15 digits of another country.
fn with_plus(digits: &str) -> Result<Phone, NotAKey> {
    if let Some(rest) = digits.strip_prefix("84") {
        return vietnamese(rest.strip_prefix('0').unwrap_or(rest));
    }
    if (7..=15).contains(&digits.len()) && !digits.starts_with('0') {
        return Ok(Phone(format!("+{digits}")));
    }
    Err(NotAKey::Malformed)
}

/// Reads digits that say nothing of a country, which are a Vietnamese number or none.
///
/// Of the forms with `00` only `0084` is read: `00` and nine digits is as likely a zero typed twice as a foreign number.
/// `84` is the country code only before a whole number: in `845123456` it is the prefix 084 that lost its zero.
fn without_plus(digits: &str) -> Result<Phone, NotAKey> {
    if (1..=6).contains(&digits.len()) {
        return Err(NotAKey::ShortCode);
    }
    if let Some(rest) = digits.strip_prefix("0084").or_else(|| digits.strip_prefix("84").filter(|rest| rest.len() >= 9))
    {
        return vietnamese(rest.strip_prefix('0').unwrap_or(rest));
    }
    vietnamese(digits.strip_prefix('0').unwrap_or(digits))
}

/// Reads a Vietnamese number without country code and zero.
fn vietnamese(significant: &str) -> Result<Phone, NotAKey> {
    let key = |significant: &str| Ok(Phone(format!("+84{significant}")));
    match (significant.as_bytes().first(), significant.len()) {
        (Some(b'3' | b'5' | b'7' | b'8' | b'9'), 9) | (Some(b'2'), 9..=10) => key(significant),
        (Some(b'1'), 8..=10) if significant.starts_with("1800") || significant.starts_with("1900") => {
            Err(NotAKey::ShortCode)
        }
        (Some(b'1'), 10) => {
            let (prefix, rest) = significant.split_at(3);
            let moved = MOVED.iter().find(|(old, _)| *old == prefix);
            moved.map_or(Err(NotAKey::Malformed), |(_, new)| key(&format!("{new}{rest}")))
        }
        _ => Err(NotAKey::Malformed),
    }
}

/// Tells whether digits that run on are two or more Vietnamese numbers.
fn holds_several(digits: &str) -> bool {
    let is_key = |digits: &str| without_plus(digits).is_ok();
    digits.len() >= 18
        && (9..=digits.len() - 9).any(|cut| {
            let (first, rest) = digits.split_at(cut);
            is_key(first) && (is_key(rest) || rest.len() >= 18)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phone(text: &str) -> Phone {
        Phone::parse(text).unwrap_or_else(|why| panic!("{text:?}: {why}"))
    }

    #[test]
    fn every_written_form_of_one_number_is_one_key() {
        let forms = [
            "0981 234 567",
            "+84981234567",
            "84981234567",
            "0084981234567",
            "0084 981 234 567",
            "0981.234.567",
            "0981-234-567",
            "(0981) 234 567",
            "+84 (0)981 234 567",
            "84 (0)981 234 567",
            "+84 0981234567",
            "(+84) 981 234 567",
            "981234567",
            "981 234 567",
            "\u{a0}0981\u{a0}234\u{202f}567\n",
            "０９８１２３４５６７",
            "＋８４９８１２３４５６７",
            "\u{202a}+84981234567\u{202c}",
            "0981–234–567",
            "0981234567,",
            "0981234567.",
        ];
        for form in forms {
            assert_eq!(phone(form).as_e164(), "+84981234567", "{form:?}");
        }
    }

    #[test]
    fn numbers_go_to_their_own_key() {
        let cases = [
            ("0845123456", "+84845123456"),
            ("845123456", "+84845123456"),
            ("84845123456", "+84845123456"),
            ("+84845123456", "+84845123456"),
            ("00840845123456", "+84845123456"),
            ("0321234567", "+84321234567"),
            ("0561234567", "+84561234567"),
            ("0701234567", "+84701234567"),
            ("028 3812 3456", "+842838123456"),
            ("+84 28 3812 3456", "+842838123456"),
            ("842838123456", "+842838123456"),
            ("0203812345", "+84203812345"),
            ("+65 8123 4567", "+6581234567"),
            ("+1 (202) 555-0123", "+12025550123"),
            ("+44 (0)20 7946 0958", "+442079460958"),
            ("+1234567", "+1234567"),
            ("+123456789012345", "+123456789012345"),
        ];
        for (form, key) in cases {
            assert_eq!(phone(form).as_e164(), key, "{form:?}");
        }
    }

    #[test]
    fn numbers_from_before_2018_move_to_their_new_prefix() {
        let table = "0120→070 0121→079 0122→077 0126→076 0128→078 0123→083 0124→084 0125→085 0127→081 0129→082 \
                     0162→032 0163→033 0164→034 0165→035 0166→036 0167→037 0168→038 0169→039 0186→056 0188→058 0199→059";
        for pair in table.split_whitespace() {
            let (old, new) = pair.split_once('→').unwrap();
            let now = phone(&format!("{new}1234567"));
            for form in [format!("{old}1234567"), format!("+84{}1234567", &old[1..]), format!("84{}1234567", &old[1..])]
            {
                assert_eq!(phone(&form), now, "{form}");
            }
            assert!(now.search_forms().contains(&format!("{old}1234567")), "{pair}");
        }
        assert_eq!(MOVED.len(), table.split_whitespace().count());
    }

    #[test]
    fn what_is_no_key_says_why() {
        let cases = [
            ("", NotAKey::Empty),
            (" \u{a0}\t", NotAKey::Empty),
            ("-", NotAKey::Empty),
            ("...", NotAKey::Empty),
            ("09******12", NotAKey::Masked),
            ("+84******567", NotAKey::Masked),
            ("098xxxx567", NotAKey::Masked),
            ("098XXXX567", NotAKey::Masked),
            ("0981••••67", NotAKey::Masked),
            ("098####567", NotAKey::Masked),
            ("098...4567", NotAKey::Masked),
            ("********", NotAKey::Masked),
            ("0981234567/0912345678", NotAKey::TwoNumbers),
            ("0981234567, 0912345678", NotAKey::TwoNumbers),
            ("0981234567 - 0912345678", NotAKey::TwoNumbers),
            ("0981234567 0912345678", NotAKey::TwoNumbers),
            ("0981234567\n0912345678", NotAKey::TwoNumbers),
            ("09812345670912345678", NotAKey::TwoNumbers),
            ("0981234567 0912345678 0321234567", NotAKey::TwoNumbers),
            ("0981234567 hoặc 0912345678", NotAKey::TwoNumbers),
            ("+84981234567+84912345678", NotAKey::TwoNumbers),
            ("+84981234567 0912345678", NotAKey::TwoNumbers),
            ("0981234567/68", NotAKey::TwoNumbers),
            ("113", NotAKey::ShortCode),
            ("0", NotAKey::ShortCode),
            ("19001234", NotAKey::ShortCode),
            ("1900 561 234", NotAKey::ShortCode),
            ("1800.1234", NotAKey::ShortCode),
            ("*101#", NotAKey::ShortCode),
            ("không có", NotAKey::Words),
            ("Khách lẻ", NotAKey::Words),
            ("N/A", NotAKey::Words),
            ("0981234567 (anh Nam)", NotAKey::Words),
            ("test@example.com", NotAKey::Words),
            ("09812345", NotAKey::Malformed),
            ("098123456789", NotAKey::Malformed),
            ("0412345678", NotAKey::Malformed),
            ("01501234567", NotAKey::Malformed),
            ("00981234567", NotAKey::Malformed),
            ("38123456", NotAKey::Malformed),
            ("+123456", NotAKey::Malformed),
            ("+1234567890123456", NotAKey::Malformed),
            ("+0981234567", NotAKey::Malformed),
            ("+84123", NotAKey::Malformed),
            ("++84981234567", NotAKey::Malformed),
            ("0981234567 +", NotAKey::Malformed),
            ("098☎1234567", NotAKey::Malformed),
            ("6581234567", NotAKey::Malformed),
            ("0981234567☎", NotAKey::Malformed),
            ("٠٩٨١٢٣٤٥٦٧", NotAKey::Malformed),
            ("+", NotAKey::Malformed),
        ];
        for (text, why) in cases {
            assert_eq!(Phone::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn refusals_have_a_code_and_a_reason_in_both_languages() {
        use NotAKey::{Empty, Malformed, Masked, ShortCode, TwoNumbers, Words};
        let all = [Empty, Masked, TwoNumbers, ShortCode, Words, Malformed];
        let codes: std::collections::BTreeSet<_> = all.iter().map(|why| why.code()).collect();
        assert_eq!(codes.len(), all.len());
        for why in all {
            assert_eq!(why.to_string(), why.reason());
            assert_ne!(why.reason(), why.reason_vi());
        }
        assert_eq!(Empty.reason_vi(), "khách không có số điện thoại");
    }

    #[test]
    fn search_forms_hold_what_may_have_been_typed() {
        assert_eq!(phone("+84981234567").search_forms(), ["0981234567", "981234567"]);
        assert_eq!(phone("0701234567").search_forms(), ["0701234567", "701234567", "01201234567", "1201234567"]);
        assert_eq!(phone("02838123456").search_forms(), ["02838123456", "2838123456"]);
        assert_eq!(phone("+6581234567").search_forms(), ["+6581234567", "6581234567"]);
    }

    #[test]
    fn a_shown_number_is_masked() {
        let key = phone("0981234567");
        assert_eq!(key.to_string(), "+84******567");
        assert_eq!(format!("{key:?}"), "+84******567");
        assert_eq!(phone("+6581234567").to_string(), "+*******567");
        assert_eq!(phone("+1234567").to_string(), "+****567");
    }

    /// A Vietnamese mobile number without its zero.
    fn mobile() -> impl Strategy<Value = String> {
        "[35789][0-9]{8}"
    }

    /// Digits with at most one separator between two of them, some of them full-width.
    fn spread(digits: &str, choices: &[u8]) -> String {
        let mut text = String::new();
        for (digit, choice) in digits.chars().zip(choices.iter().cycle()) {
            let wide = char::from_u32(u32::from(digit) + 0xfee0).unwrap();
            text.push(if choice & 0x80 == 0 { digit } else { wide });
            text.push_str(["", "", "", " ", ".", "-", "\u{a0}", ""][usize::from(choice & 7)]);
        }
        text
    }

    proptest! {
        #[test]
        fn one_number_however_written_is_one_key(
            number in mobile(),
            lead in prop::sample::select(vec!["0", "84", "0084", "+84", "+84 (0)", "+84 0", "(+84) ", "84 (0)", "＋84 ", ""]),
            choices in prop::collection::vec(any::<u8>(), 9),
        ) {
            let text = format!("{lead}{}", spread(&number, &choices));
            let key = phone(&text);
            prop_assert_eq!(key.as_e164(), format!("+84{number}"));
        }

        #[test]
        fn two_numbers_are_never_one_key(
            first in mobile(),
            second in mobile(),
            lead in prop::sample::select(vec!["0", "84", "+84", ""]),
            between in prop::sample::select(vec!["", " ", "/", ", ", " - ", ";", "\n", " hoặc "]),
        ) {
            prop_assert_eq!(Phone::parse(&format!("{lead}{first}{between}0{second}")), Err(NotAKey::TwoNumbers));
        }

        #[test]
        fn the_national_form_is_the_same_key(digits in "(0|84|0084|\\+84|\\+)?[0-9]{6,14}") {
            if let Ok(key) = Phone::parse(&digits) {
                prop_assert_eq!(phone(&key.national()), key.clone());
                prop_assert_eq!(phone(key.as_e164()), key.clone());
                if key.as_e164().starts_with("+84") {
                    for form in key.search_forms() {
                        prop_assert_eq!(phone(&form), key.clone());
                    }
                }
            }
        }

        #[test]
        fn no_text_panics_and_no_key_is_shown_whole(text in any::<String>(), written in "[0-9+()*x#./, -]{0,40}") {
            for text in [text, written] {
                if let Ok(key) = Phone::parse(&text) {
                    prop_assert!(key.as_e164().len() >= 8 && key.as_e164().len() <= 16);
                    prop_assert!(key.to_string().contains("***"));
                }
            }
        }
    }
}
