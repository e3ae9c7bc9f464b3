// SendMessage and SendMessages on the wire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/bounds.h"
#include "messenger/message.h"
#include "wire/canonical_message.h"
#include "wire/capabilities.h"
#include "wire/receipt.h"

namespace messenger::wire {

// A parsed SendMessageRequest or SendMessagesRequest. Its views point into the
// request's bytes or into `storage`.
struct SendRequest {
  std::string_view channel;  // resolved
  std::optional<ProducerId> producer_id;
  std::uint64_t first_producer_sequence = 0;
  std::vector<CanonicalMessage> messages;  // at least one
  std::optional<std::uint64_t> expected_last_sequence;
  std::uint64_t expected_epoch = 0;       // 0: any
  std::uint64_t producer_generation = 0;  // 0: none
  std::string_view idempotency_key;       // empty: none
  std::deque<std::string> storage;
};

// Each message costs the server more than its bytes, which may be two.
inline constexpr std::size_t kMaxRequestMessages = 65'536;

inline constexpr Bounds<std::size_t> kIdempotencyKeySize{1, 255};

// INVALID_ARGUMENT names the field, the value and the limit.
absl::Status CheckIdempotencyKey(std::string_view key);

struct SendLimits {
  std::size_t max_request_bytes;
  std::size_t max_message_bytes;
};

// INVALID_ARGUMENT names the field, the value and the limit.
absl::StatusOr<SendRequest> ParseSendMessageRequest(std::string_view bytes,
                                                    const SendLimits& limits);
absl::StatusOr<SendRequest> ParseSendMessagesRequest(std::string_view bytes,
                                                     const SendLimits& limits);

// A SendMessagesRequest, all but its messages.
struct SendHeader {
  std::string_view channel;
  std::optional<ProducerId> producer_id = std::nullopt;
  std::uint64_t first_producer_sequence = 0;
  std::optional<std::uint64_t> expected_last_sequence = std::nullopt;
  std::uint64_t expected_epoch = 0;       // 0: any
  std::uint64_t producer_generation = 0;  // 0: none
  std::string_view idempotency_key = {};  // empty: none
};
// Its messages are appended after it by AppendNewMessageField.
std::string EncodeSendMessagesHeader(const SendHeader& header);

// Appends one `messages` field of SendMessagesRequest. `size` is its
// NewMessageSize.
void AppendNewMessageField(std::string& out, const NewMessage& message,
                           std::size_t size);

// Appends one `receipts` field of SendMessagesResponse; of SendMessageResponse,
// it is the whole.
void AppendReceipt(std::string& out, const ReceiptRun& run);

// The first SendMessagesResponse of a stream.
std::string EncodeFirstResponse(std::uint64_t epoch,
                                Capabilities capabilities = kAllCapabilities);

struct SendResponse {
  std::uint64_t epoch = 0;  // 0: absent
  Capabilities capabilities;
  std::vector<ReceiptRun> receipts;
};

// DATA_LOSS if the bytes are malformed, or a receipt is none that a log can
// give.
absl::StatusOr<SendResponse> ParseSendMessagesResponse(std::string_view bytes);

}  // namespace messenger::wire
