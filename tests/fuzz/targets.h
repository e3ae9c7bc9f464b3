// The fuzz targets. Each takes one input, and ends the process if something
// that must hold does not.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fuzz/input.h"

namespace messenger::fuzz {

void FuzzChannelRequest(Input input);
void FuzzCheckpoint(Input input);
void FuzzFrame(Input input);
// Only where the programs are built.
void FuzzHttpRequest(Input input);
void FuzzJournalReader(Input input);
void FuzzLogDirectory(Input input);
void FuzzReadRequest(Input input);
void FuzzReceipts(Input input);
void FuzzSecurityFiles(Input input);
void FuzzSegmentReader(Input input);
void FuzzSendRequest(Input input);
void FuzzStatusDetails(Input input);

}  // namespace messenger::fuzz

// What a fuzzer calls, and corpus_main.cc in its place.
extern "C" int LLVMFuzzerInitialize(const int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);
