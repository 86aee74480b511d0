// What PostgreSQL's own output plugin makes of the WAL, to compare with.

const get = async (instance, slot, count) =>
  read(await instance.rows(`select encode(data, 'hex') from pg_logical_slot_get_binary_changes('${slot}', null, ${count},
    'proto_version', '1', 'messages', 'true', 'publication_names', 'supabase_realtime')`, 60));

// All changes of a slot of pgoutput as "table TYPE id", where id is the first column; "table UPDATE" without it.
export async function decoded(instance, slot) {
  return (await get(instance, slot, 'null')).lines;
}

// The same, one transaction at a time: else it would keep what it knows of the publication for transactions that are older.
// Each transaction must have a change of a published table or a message, to be returned at all.
export async function decodedOneByOne(instance, slot) {
  const lines = [];
  for (;;) {
    const { messages, lines: some } = await get(instance, slot, 1);
    if (messages === 0) {
      return lines;
    }
    lines.push(...some);
  }
}

function firstColumn(data, at) {
  const length = data.readUInt32BE(at + 4);
  return data.toString('utf8', at + 8, at + 8 + length);
}

function read(rows) {
  const names = new Map();
  const lines = [];
  for (const row of rows) {
    const data = Buffer.from(row, 'hex');
    const relation = data.readUInt32BE(1);
    switch (String.fromCharCode(data[0])) {
      case 'R': {
        const schema = data.indexOf(0, 5);
        names.set(relation, data.toString('utf8', schema + 1, data.indexOf(0, schema + 1)));
        break;
      }
      case 'I':
        lines.push(`${names.get(relation)} INSERT ${firstColumn(data, 5)}`);
        break;
      case 'U':
        lines.push(`${names.get(relation)} UPDATE`);
        break;
      case 'D':
        lines.push(`${names.get(relation)} DELETE ${firstColumn(data, 5)}`);
        break;
      default:
        break;
    }
  }
  return { messages: rows.length, lines };
}
