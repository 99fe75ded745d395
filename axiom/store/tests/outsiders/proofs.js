// @transmute/rfc9162 on proofs: reads JSON objects, one a line, of an inclusion {leaf, index, size, root, path} or a
// consistency {old, oldRoot, size, root, path}, hashes in hex; says true or false for each, a line.
const { RFC9162 } = require('@transmute/rfc9162')
const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'))

async function check(proof) {
  const path = proof.path.map(bytes)
  if (proof.leaf !== undefined) {
    const leaf = await RFC9162.leaf(bytes(proof.leaf))
    const data = { log_id: '', tree_size: proof.size, leaf_index: proof.index, inclusion_path: path }
    return RFC9162.verifyInclusionProof(bytes(proof.root), leaf, data)
  }
  // RFC 9162 puts the old root before the path where the old size is a power of two; the library leaves that to us.
  const power = (proof.old & (proof.old - 1)) === 0
  const data = {
    log_id: '',
    tree_size_1: proof.old,
    tree_size_2: proof.size,
    consistency_path: power ? [bytes(proof.oldRoot), ...path] : path,
  }
  return RFC9162.verifyConsistencyProof(bytes(proof.oldRoot), bytes(proof.root), data)
}

async function main() {
  const lines = require('fs').readFileSync(0, 'utf8').trim().split('\n')
  for (const line of lines) console.log(await check(JSON.parse(line)))
}
main()
