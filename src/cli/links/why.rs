//! What an owner reads beside a code, in Vietnamese: why a row is not linked or in error, and what to do.
//!
//! One code may mean one thing of a product and another of an order, so each kind has words of its own; what the shops'
//! APIs answer means the same of all. A test holds that every code that a row can carry stands here.

use crate::domain::event::System;
use crate::store::links::LinkKind;

/// Codes with their words.
type Words = &'static [(&'static str, &'static str)];

const PRODUCTS: Words = &[
    ("only_on_sapo", "mã chỉ có trên POS: đặt mã này cho đúng sản phẩm trên web"),
    ("only_on_web", "mã chỉ có trên web: đặt mã này cho đúng sản phẩm trên POS"),
    ("to_be_linked", "mã hai bên giống nhau, chờ liên kết: lần nhập hoặc thay đổi tới sẽ tự liên kết"),
    ("no_sku", "mã trống: đặt mã giống bên kia, hoặc liên kết bằng tay"),
    ("cut_by_hand", "đã hủy liên kết bằng tay: muốn đồng bộ lại thì Liên kết (links link)"),
    ("ambiguous", "mã bị trùng: mỗi bên chỉ để lại một, hoặc liên kết một cặp bằng tay (links link --pair)"),
    ("linked_elsewhere", "đã liên kết với sản phẩm khác: hủy liên kết đó trước (links unlink)"),
    ("renamed", "mã hai bên khác nhau, vẫn liên kết: đặt lại mã cho giống, hoặc hủy liên kết"),
    ("deleted", "đã xóa trên POS: ẩn hoặc xóa sản phẩm trên web, hoặc hủy liên kết"),
    ("gone_on_channel", "đã xóa trên web: tạo lại với cùng mã, hoặc hủy liên kết"),
    ("stock_unknown", "chưa đẩy tồn kho, POS chưa có tồn ở chi nhánh đã chọn: nhập tồn kho ở đó, hoặc đổi chi nhánh"),
    ("no_price", "chưa đẩy giá, bảng giá đã chọn chưa có giá: nhập giá trên POS, hoặc đổi bảng giá"),
    ("no_inventory_item", "web chưa có mã tồn kho: lưu lại sản phẩm trên web một lần rồi đồng bộ lại"),
];

const ORDERS: Words = &[
    ("linked", "đã có trên POS"),
    ("switch_off", "lúc đơn về, đồng bộ Đơn hàng đang tắt: gửi bằng tay nếu cần (links link --order)"),
    ("before_start_line", "đơn có trước khi kết nối: gửi bằng tay nếu cần (links link --order)"),
    ("never_created", "đơn đã hủy hoặc đã trả trước khi sang POS: không cần làm gì"),
    ("test_order", "đơn thử, không bao giờ tạo trên POS: không cần làm gì"),
    ("gone", "đơn đã xóa trên web trước khi sang POS: không cần làm gì"),
    ("deleted", "đơn đã xóa trên POS: xem lại đơn trên web, hủy ở đó nếu cần"),
    ("gone_on_channel", "đơn đã xóa trên web: xem lại đơn trên POS, hủy ở đó nếu cần"),
    ("unlinked_product", "đơn có sản phẩm chưa liên kết: liên kết sản phẩm, đơn sẽ tự sang POS"),
    ("ambiguous", "nhiều khách hàng trên POS trùng số điện thoại hoặc email: gộp lại trên POS, đơn sẽ tự sang"),
    ("setup", "chờ thiết lập hoặc quyền truy cập: sửa theo lý do, đơn sẽ tự chạy tiếp"),
    ("status_back", "trạng thái trên POS chưa về được web: sửa thiết lập hoặc quyền theo lý do, đơn sẽ tự chạy tiếp"),
    ("to_be_approved", "đơn đã có trên POS, còn chờ duyệt: sẽ tự duyệt; bị từ chối thì duyệt bằng tay trên POS"),
    ("order_changed", "đơn bị sửa ở kênh bán sau khi đã tạo trên POS: sửa đơn trên POS bằng tay"),
    ("total_mismatch", "tổng tiền không khớp: đối chiếu hai tổng trong lý do, sửa đơn bằng tay"),
    ("negative_amount", "đơn có số tiền âm: sửa đơn ở nơi tạo rồi chạy lại (dead replay)"),
    ("bad_line", "đơn có dòng sai số lượng hoặc giá: sửa đơn ở nơi tạo rồi chạy lại (dead replay)"),
    ("amount_too_large", "số tiền quá lớn: sửa giá, số lượng ở nơi tạo rồi chạy lại (dead replay)"),
    ("no_lines", "đơn không có sản phẩm nào: thêm sản phẩm ở nơi tạo rồi chạy lại (dead replay)"),
    ("free_form_line", "đơn có dòng không phải sản phẩm trong danh mục: nhập đơn bằng tay trên POS"),
    ("unresolved_lines", "đơn có dòng chưa tìm được sản phẩm: liên kết sản phẩm rồi chạy lại (dead replay)"),
    ("duplicate_code", "hai đơn ở kênh bán trùng mã: nhập đơn thứ hai bằng tay trên POS"),
    ("two_objects_one_mark", "hai đơn mang cùng một dấu: giữ một đơn, hủy các đơn còn lại bằng tay"),
    ("unknown_status", "trạng thái đơn chưa rõ: chạy lại sự kiện, hoặc đặt trạng thái bằng tay"),
];

const CUSTOMERS: Words = &[("deleted", "khách hàng đã xóa trên POS, trên Abaha giữ nguyên: không cần làm gì")];

/// Of Abaha, what is said otherwise than of a web.
const ABAHA_PRODUCTS: Words = &[
    ("deleted", "đã xóa trên POS, đã ẩn trên Abaha: không cần làm gì"),
    ("gone_on_channel", "đã xóa trên Abaha: tạo lại ở đó với cùng mã rồi chạy lại (dead replay), hoặc xóa cả trên POS"),
];

const ABAHA_ORDERS: Words = &[
    ("deleted", "đơn đã xóa trên POS: xem lại đơn trên Abaha, hủy ở đó nếu cần"),
    ("gone_on_channel", "đơn đã xóa trên Abaha: xem lại đơn trên POS, hủy ở đó nếu cần"),
];

/// What was made twice, and what an API said to a call, or why it said nothing.
const ANSWERS: Words = &[
    ("two_objects_one_mark", "hai bản ghi mang cùng một dấu: giữ một, xóa bản còn lại bằng tay"),
    ("missing_scope", "ứng dụng thiếu quyền: cấp thêm quyền (connect authorize)"),
    ("unmanaged", "web không quản lý tồn kho, tồn kho không được đẩy: bật quản lý tồn kho trên web nếu cần"),
    ("refused", "bên kia từ chối: sửa theo lý do rồi chạy lại (dead replay)"),
    ("invalid", "bên kia không nhận dữ liệu này: sửa theo lý do rồi chạy lại (dead replay)"),
    ("duplicate", "bên kia báo đã tồn tại: sửa theo lý do rồi chạy lại (dead replay)"),
    ("not_found", "không tìm thấy ở bên kia: kiểm tra ở đó rồi chạy lại (dead replay)"),
    ("unknown_reference", "bên kia không có thứ mà lý do nêu: sửa rồi chạy lại (dead replay)"),
    ("unknown_payment_method", "POS không có phương thức thanh toán này: đổi `payment_method` (connect apply)"),
    ("precondition", "trạng thái ở bên kia chưa cho phép: xử lý theo lý do rồi chạy lại (dead replay)"),
    ("conflict_cancelled", "đã bị hủy ở bên kia: đặt trạng thái hai bên bằng tay"),
    ("conflict_finalized", "đã được duyệt trên POS: đặt trạng thái hai bên bằng tay"),
    ("conflict_finished", "đã ngừng thao tác trên POS: đặt trạng thái hai bên bằng tay"),
    ("conflict_fulfilled", "đã giao hàng trên web: nhận trả hàng ở đó, hoặc đặt trạng thái bằng tay"),
    ("needs_return_slip", "đơn đã giao, không hủy được: lập phiếu trả hàng trên POS"),
    ("wrong_channel", "kết nối không thuộc loại kênh này (lỗi chương trình): hãy báo lại"),
    ("connect", "không kết nối được tới bên kia: tự thử lại, xem mạng nếu kéo dài"),
    ("reset", "mất kết nối tới bên kia: tự thử lại, xem mạng nếu kéo dài"),
    ("timeout", "bên kia không trả lời kịp: tự thử lại"),
    ("server_error", "bên kia đang lỗi: tự thử lại, báo lại nếu kéo dài"),
    ("unavailable", "bên kia đang bận hoặc bảo trì: tự thử lại"),
    ("redirected", "địa chỉ của bên kia đã chuyển: kiểm tra tên cửa hàng trong thiết lập"),
    ("unknown_path", "địa chỉ của bên kia không đúng: kiểm tra tên cửa hàng trong thiết lập"),
    ("unreadable_answer", "không đọc được câu trả lời của bên kia: tự thử lại, báo lại nếu kéo dài"),
    ("answer_too_large", "câu trả lời của bên kia quá dài: tự thử lại, báo lại nếu kéo dài"),
    ("not_sent", "chưa gửi được yêu cầu: tự thử lại, báo lại nếu kéo dài"),
];

/// Why a row is not linked or in error, and what to do, in the owner's language; none of a code that is not known.
pub fn why(channel: System, kind: LinkKind, code: &str) -> Option<&'static str> {
    tables(channel, kind).iter().copied().flatten().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

/// The words of a kind; those of the first table count.
fn tables(channel: System, kind: LinkKind) -> &'static [Words] {
    match (channel, kind) {
        (System::Abaha, LinkKind::Product) => &[ABAHA_PRODUCTS, PRODUCTS, ANSWERS],
        (System::Abaha, LinkKind::Order) => &[ABAHA_ORDERS, ORDERS, ANSWERS],
        (_, LinkKind::Product) => &[PRODUCTS, ANSWERS],
        (_, LinkKind::Order) => &[ORDERS, ANSWERS],
        (_, LinkKind::Customer) => &[CUSTOMERS, ANSWERS],
        (_, LinkKind::Category) => &[ANSWERS],
    }
}

#[cfg(test)]
mod tests;
