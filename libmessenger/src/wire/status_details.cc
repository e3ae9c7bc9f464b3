#include "wire/status_details.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "base/reason.h"
#include "base/status.h"
#include "messenger/printable.h"
#include "wire/coding.h"

namespace messenger::wire {
namespace {

// google.rpc.Status.
constexpr VarintField kCode = 1;
constexpr BytesField kMessage = 2;
constexpr BytesField kDetails = 3;
// google.protobuf.Any.
constexpr BytesField kTypeUrl = 1;
constexpr BytesField kValue = 2;
// google.rpc.ErrorInfo, and an entry of its map.
constexpr BytesField kReason = 1;
constexpr BytesField kDomain = 2;
constexpr BytesField kMetadata = 3;
constexpr BytesField kEntryKey = 1;
constexpr BytesField kEntryValue = 2;

constexpr std::string_view kErrorInfo =
    "type.googleapis.com/google.rpc.ErrorInfo";

// gRPC takes 8 KiB of trailers, and this is encoded in base64 there, and says
// the text again.
constexpr std::size_t kMaxBytes = std::size_t{3} << 10;
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxValueBytes = 256;
constexpr std::size_t kMaxDetails = 16;

bool IsUpperSnake(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isupper(c) || absl::ascii_isdigit(c) || c == '_';
         });
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '-';
         });
}

// The value of a field that is there once or not at all.
std::string_view FindField(std::string_view message, BytesField field) {
  std::string_view found;
  FieldReader fields(message);
  while (fields.Next()) {
    if (fields.tag() == field) found = fields.bytes();
  }
  return found;
}

struct ErrorInfo {
  std::string_view reason;
  std::string_view domain;
  std::vector<std::pair<std::string_view, std::string_view>> metadata;
};

std::optional<ErrorInfo> ParseErrorInfo(std::string_view bytes) {
  ErrorInfo info;
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == kReason) info.reason = fields.bytes();
    if (fields.tag() == kDomain) info.domain = fields.bytes();
    if (fields.tag() != kMetadata) continue;
    const std::string_view name = FindField(fields.bytes(), kEntryKey);
    const std::string_view value = FindField(fields.bytes(), kEntryValue);
    if (!IsName(name) || value.size() > kMaxValueBytes ||
        info.metadata.size() == kMaxDetails) {
      return std::nullopt;
    }
    info.metadata.emplace_back(name, value);
  }
  if (!fields.ok() || info.domain != kErrorDomain ||
      !IsUpperSnake(info.reason)) {
    return std::nullopt;
  }
  return info;
}

}  // namespace

std::string EncodeStatusDetails(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason.empty()) return {};
  std::string info;
  AppendBytesField(info, kReason, reason);
  AppendBytesField(info, kDomain, kErrorDomain);
  ForEachReasonDetail(status,
                      [&info](std::string_view name, const std::string& value) {
                        std::string entry;
                        AppendBytesField(entry, kEntryKey, name);
                        AppendBytesField(entry, kEntryValue, value);
                        AppendBytesField(info, kMetadata, entry);
                      });
  std::string any;
  AppendBytesField(any, kTypeUrl, kErrorInfo);
  AppendBytesField(any, kValue, info);
  std::string encoded;
  AppendVarintField(encoded, kCode, static_cast<std::uint64_t>(status.code()));
  // Clients insist that it is the text of the call.
  AppendBytesField(encoded, kMessage, MessageOf(status));
  AppendBytesField(encoded, kDetails, any);
  return encoded.size() <= kMaxBytes ? encoded : std::string();
}

void AddStatusDetails(std::string_view encoded, absl::Status* status) {
  if (encoded.size() > kMaxBytes) return;
  FieldReader fields(encoded);
  while (fields.Next()) {
    if (fields.tag() != kDetails ||
        FindField(fields.bytes(), kTypeUrl) != kErrorInfo) {
      continue;
    }
    const auto info = ParseErrorInfo(FindField(fields.bytes(), kValue));
    if (!info) continue;
    *status = WithReason(std::move(*status), info->reason);
    for (const auto& [name, value] : info->metadata) {
      AddReasonDetail(status, name, Printable(value));
    }
    return;
  }
}

}  // namespace messenger::wire
