// What a hostile server sends with an error.
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/reason.h"
#include "fuzz/check.h"
#include "fuzz/targets.h"
#include "messenger/printable.h"
#include "wire/status_details.h"

namespace messenger::fuzz {
namespace status_details_fuzz {
namespace {

void Run(std::string_view bytes) {
  absl::Status status = absl::UnavailableError("text");
  wire::AddStatusDetails(bytes, &status);
  const std::string reason = ReasonOf(status);
  std::size_t details = 0;
  ForEachReasonDetail(
      status, [&](std::string_view name, const std::string& value) {
        ++details;
        Check(!name.empty() && name.size() <= 64, "a name too long");
        Check(value == Printable(value), "what is not for a terminal");
        Check(value.size() <= 4096, "a value too long");
      });
  Check(details <= 16, "too many details");
  if (reason.empty()) {
    Check(status == absl::UnavailableError("text"), "details of no reason");
    return;
  }
  Check(reason.size() <= 64 &&
            reason.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
                std::string::npos,
        "a reason that is none");
  const std::string encoded = wire::EncodeStatusDetails(status);
  if (encoded.empty()) return;  // printable, it is too large
  absl::Status again = absl::UnavailableError("text");
  wire::AddStatusDetails(encoded, &again);
  Check(ReasonOf(again).empty() || again == status, "other details");
}

}  // namespace
}  // namespace status_details_fuzz

void FuzzStatusDetails(Input input) {
  status_details_fuzz::Run(input.Rest());
}

}  // namespace messenger::fuzz
