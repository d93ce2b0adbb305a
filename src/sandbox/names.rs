//! Made-up Vietnamese names, products and phones, with the mess of real shops.

use rand::RngExt;
use rand::rngs::StdRng;

/// A kind of product: category, things, what its variants are called, its SKU's letters, and its price in thousands.
pub(crate) struct Range {
    pub category: &'static str,
    pub things: &'static [&'static str],
    pub kinds: &'static [&'static str],
    pub options: &'static [&'static str],
    pub letters: &'static str,
    pub price: (i64, i64),
}

/// What the made-up shop sells.
pub(crate) const RANGES: [Range; 8] = [
    Range {
        category: "Áo",
        things: &["Áo thun", "Áo sơ mi", "Áo khoác", "Áo len", "Áo polo"],
        kinds: &["cổ tròn", "cổ tim", "tay dài", "dáng rộng", "kẻ sọc", "họa tiết"],
        options: &["S", "M", "L", "XL"],
        letters: "AT",
        price: (90, 450),
    },
    Range {
        category: "Quần",
        things: &["Quần jean", "Quần vải", "Quần short", "Quần tây"],
        kinds: &["ống suông", "ống đứng", "lưng cao", "co giãn", "rách gối"],
        options: &["28", "29", "30", "31"],
        letters: "QV",
        price: (150, 600),
    },
    Range {
        category: "Giày",
        things: &["Giày thể thao", "Giày lười", "Dép quai", "Sandal"],
        kinds: &["da", "vải", "đế êm", "chống trượt", "đi mưa"],
        options: &["37", "38", "39", "40"],
        letters: "GI",
        price: (120, 900),
    },
    Range {
        category: "Thực phẩm",
        things: &["Bánh tráng", "Mứt gừng", "Cà phê rang", "Trà sen", "Nước mắm", "Gạo"],
        kinds: &["Tây Ninh", "Huế", "Đà Lạt", "Phú Quốc", "loại 1", "nhà làm"],
        options: &["gói", "hộp", "chai", "túi"],
        letters: "TP",
        price: (10, 250),
    },
    Range {
        category: "Mỹ phẩm",
        things: &["Son", "Kem dưỡng", "Sữa rửa mặt", "Nước hoa hồng", "Mặt nạ"],
        kinds: &["hồng đất", "cam cháy", "dịu nhẹ", "cấp ẩm", "trà xanh"],
        options: &["10ml", "30ml", "50ml", "100ml"],
        letters: "MP",
        price: (60, 700),
    },
    Range {
        category: "Đồ gia dụng",
        things: &["Nồi", "Chảo", "Bình giữ nhiệt", "Hộp đựng", "Khăn"],
        kinds: &["inox", "chống dính", "có nắp", "hai lớp", "tre"],
        options: &["nhỏ", "vừa", "lớn", "bộ"],
        letters: "GD",
        price: (40, 800),
    },
    Range {
        category: "Phụ kiện",
        things: &["Túi xách", "Ví", "Thắt lưng", "Mũ", "Kính"],
        kinds: &["da bò", "vải bố", "bản nhỏ", "thêu", "gấp gọn"],
        options: &["đen", "nâu", "kem", "xanh"],
        letters: "PK",
        price: (50, 650),
    },
    Range {
        category: "Mẹ & bé",
        things: &["Bỉm", "Bình sữa", "Yếm", "Đồ chơi gỗ", "Khăn sữa"],
        kinds: &["sơ sinh", "siêu mềm", "cổ rộng", "hình thú", "6 lớp"],
        options: &["S", "M", "L", "XL"],
        letters: "MB",
        price: (20, 420),
    },
];

const FAMILY: [&str; 12] = ["Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Phan", "Vũ", "Võ", "Đặng", "Bùi", "Đỗ"];
const MIDDLE: [&str; 8] = ["Thị", "Văn", "Ngọc", "Minh", "Thanh", "Đức", "Thu", "Quốc"];
const GIVEN: [&str; 14] =
    ["Mẫu", "An", "Bình", "Chi", "Dung", "Giang", "Hà", "Khánh", "Lan", "Mai", "Nam", "Phúc", "Quyên", "Tú"];

/// One of some things.
pub(crate) fn pick<T: Copy>(dice: &mut StdRng, from: &[T]) -> T {
    from[dice.random_range(0..from.len())]
}

/// A person's name.
pub(crate) fn person(dice: &mut StdRng) -> String {
    format!("{} {} {}", pick(dice, &FAMILY), pick(dice, &MIDDLE), pick(dice, &GIVEN))
}

/// A SKU as shops write them: with slashes, blanks, both cases. The number makes it unique.
pub(crate) fn sku(dice: &mut StdRng, letters: &str, number: usize, option: &str) -> String {
    let option: String = option.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase();
    let end = if option.is_empty() { format!("{}", dice.random_range(1..10)) } else { option };
    match dice.random_range(0..8) {
        0 => format!("{letters}/{number:04}/{end}"),
        1 => format!("{letters}/{number:04} /{end}"),
        2 => format!("{letters} {number:04} {end}"),
        3 => format!("{}-{number:04}-{end}", letters.to_lowercase()),
        4 => format!("{letters}.{number:04}_{}", end.to_lowercase()),
        _ => format!("{letters}{number:04}-{end}"),
    }
}

/// A phone as people type them; some are none at all. The number makes mobile ones unique.
pub(crate) fn phone(dice: &mut StdRng, number: usize) -> Option<String> {
    let rest = format!("{:07}", number % 10_000_000);
    let prefix = pick(dice, &["90", "91", "98", "97", "84", "70", "79", "32", "56", "58"]);
    let (a, b) = rest.split_at(3);
    Some(match dice.random_range(0..20) {
        0 => format!("+84{prefix}{rest}"),
        1 => format!("84{prefix}{rest}"),
        2 => format!("0084{prefix}{rest}"),
        3 => format!("0{prefix}.{a}.{b}"),
        4 => format!("+84 (0){prefix} {a} {b}"),
        5 => format!("0{prefix} {a} {b}"),
        6 => format!("{prefix}{rest}"),
        7 => format!("{}{rest}", pick(dice, &["0120", "0121", "0123", "0162", "0169", "0186", "0199"])),
        8 => format!("024{}{}", 3, rest),
        9 => format!("0{prefix}{rest} - 0{prefix}{}", rest.chars().rev().collect::<String>()),
        10 => format!("0{}******{}", &prefix[..1], &rest[5..]),
        11 => return None,
        12 => String::new(),
        13 => format!("+6591{rest}").chars().take(11).collect(),
        _ => format!("0{prefix}{rest}"),
    })
}
