"""A GPU's part in an index: which list a row is nearest to, while lists are learned and rows are added.

    device, what FAISS has here ──▶ an empty exact index on the GPU, or why there is none

Nine tenths of the making of an index are products of rows with what lists are centred on: a few MB, that a GPU holds
beside any network. Searches stay on the CPU. Their lists are mapped from the disk, of which a search reads a few
thousand rows; a GPU would need all of them copied first, for each command anew. It takes at most 2,048 lists and
results, and it ignores which rows may be found (FAISS's issues 3114 and 3924): a condition would not hold, unsaid.
"""

from typing import Any

_TEMPORARY_BYTES = 256 << 20  # FAISS would take 1.5 GiB of the GPU for itself


def flat_on(device: str, width: int, faiss: Any) -> tuple[Any, str]:
    """An empty exact index of inner products on a GPU.

    Parameters
    ----------
    device : `auto`, `cpu`, `cuda` or `cuda:N`
    width : D
    faiss : the module

    Returns
    -------
    index, why : None on the CPU; why one was asked for in vain, else empty
    """
    if device == "cpu":
        return None, ""
    if not hasattr(faiss, "StandardGpuResources"):
        why = "this FAISS is built without GPUs; `pip uninstall faiss-cpu`, then `pip install -e '.[gpu]'`"
    elif int(device.partition(":")[2] or 0) >= (count := faiss.get_num_gpus()):
        why = f"FAISS sees {count} GPUs here"
    else:
        resources = faiss.StandardGpuResources()
        resources.setTempMemory(_TEMPORARY_BYTES)
        number = int(device.partition(":")[2] or 0)
        return faiss.index_cpu_to_gpu(resources, number, faiss.IndexFlatIP(width)), ""
    return None, "" if device == "auto" else f"The index is made on the CPU: {why}."
