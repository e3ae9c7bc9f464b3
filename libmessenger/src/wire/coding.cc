#include "wire/coding.h"

namespace messenger::wire {

void AppendVarint(std::string& out, std::uint64_t value) {
  char buffer[kMaxVarintSize];
  out.append(buffer, PutVarint(buffer, value));
}

void AppendVarintField(std::string& out, std::uint32_t field,
                       std::uint64_t value) {
  AppendVarint(out, MakeTag(field, WireType::kVarint));
  AppendVarint(out, value);
}

void AppendFixed64Field(std::string& out, std::uint32_t field,
                        std::uint64_t value) {
  AppendVarint(out, MakeTag(field, WireType::kFixed64));
  char buffer[sizeof value];
  out.append(buffer, PutFixed64(buffer, value));
}

void AppendBytesField(std::string& out, std::uint32_t field,
                      std::string_view bytes) {
  AppendVarint(out, MakeTag(field, WireType::kBytes));
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

}  // namespace messenger::wire
