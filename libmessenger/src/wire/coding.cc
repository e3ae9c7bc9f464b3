#include "wire/coding.h"

#include <array>

namespace messenger::wire {

void AppendVarint(std::string& out, std::uint64_t value) {
  std::array<char, kMaxVarintSize> buffer;
  out.append(buffer.data(), PutVarint(buffer.data(), value));
}

void AppendVarintField(std::string& out, VarintField field,
                       std::uint64_t value) {
  AppendVarint(out, field);
  AppendVarint(out, value);
}

void AppendFixed64Field(std::string& out, Fixed64Field field,
                        std::uint64_t value) {
  AppendVarint(out, field);
  std::array<char, sizeof value> buffer;
  out.append(buffer.data(), PutFixed64(buffer.data(), value));
}

void AppendBytesField(std::string& out, BytesField field,
                      std::string_view bytes) {
  AppendVarint(out, field);
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

}  // namespace messenger::wire
