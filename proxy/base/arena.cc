#include "proxy/base/arena.h"

namespace sluice {

Arena::Chunk::~Chunk() = default;
Arena::Large::~Large() = default;

}  // namespace sluice
