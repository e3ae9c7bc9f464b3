#include "wire/coding.h"

#include <array>

namespace messenger::wire {

void AppendVarint(std::string& out, std::uint64_t value) {
  std::array<char, kMaxVarintSize> buffer;
  out.append(buffer.data(), PutVarint(buffer.data(), value));
}

void AppendVarintField(std::string& out, std::uint32_t field,
                       std::uint64_t value) {
  AppendVarint(out, MakeTag(field, WireType::kVarint));
  AppendVarint(out, value);
}

void AppendFixed64Field(std::string& out, std::uint32_t field,
                        std::uint64_t value) {
  AppendVarint(out, MakeTag(field, WireType::kFixed64));
  std::array<char, sizeof value> buffer;
  out.append(buffer.data(), PutFixed64(buffer.data(), value));
}

void AppendBytesField(std::string& out, std::uint32_t field,
                      std::string_view bytes) {
  AppendVarint(out, MakeTag(field, WireType::kBytes));
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

}  // namespace messenger::wire
