#include "wire/coding.h"

#include <array>

namespace messenger::wire {

FieldReader::Varint FieldReader::ReadLongVarint(const char* at,
                                                const char* end) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    // At least one more byte.
    if (at == end) return {.value = 1};
    const auto byte = static_cast<unsigned char>(*at++);
    // The tenth byte has one significant bit.
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return {.value = value, .end = at};
  }
  return {};
}

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
