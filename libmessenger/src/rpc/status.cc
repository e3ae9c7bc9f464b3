#include "rpc/status.h"

#include <cstddef>
#include <string>

#include "base/status.h"
#include "messenger/printable.h"
#include "wire/status_details.h"

namespace messenger::rpc {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const absl::Status printable = MakePrintable(status);
  return {static_cast<grpc::StatusCode>(status.code()),
          // More might exceed what a client takes of headers: then it would get
          // neither this nor the reason.
          std::string(Excerpt(MessageOf(printable))),
          wire::EncodeStatusDetails(printable)};
}

absl::Status FromGrpc(const grpc::Status& status) {
  return WithDetailsOf(status,
                       {static_cast<absl::StatusCode>(status.error_code()),
                        Printable(Excerpt(status.error_message()))});
}

absl::Status WithDetailsOf(const grpc::Status& from, absl::Status status) {
  wire::AddStatusDetails(from.error_details(), &status);
  return status;
}

std::string_view Excerpt(std::string_view text) {
  constexpr std::size_t kMost = 1024;
  if (text.size() <= kMost) return text;
  // Not in the middle of a character.
  std::size_t size = kMost;
  while (size > kMost - 4 &&
         (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) {
    --size;
  }
  return text.substr(0, size);
}

}  // namespace messenger::rpc
